"""A snapshot as a file for other machines, and as lines of a log."""

import json
from dataclasses import replace

import pytest

from lth_ray.watching.live_lines import began, pause_s, where
from lth_ray.watching.snapshot import from_record, to_record
from tests.watching.test_live_view import DENSE, STUDIES, shown


@pytest.mark.parametrize("study", STUDIES)
def test_a_snapshot_survives_its_file(study: str) -> None:
    again = from_record(json.loads(json.dumps(to_record(STUDIES[study]))))
    assert again is not None
    assert shown(again, 100, 30) == shown(STUDIES[study], 100, 30)
    exact = replace(STUDIES["one"], steps_per_s=0.5, seconds_left=None)
    assert from_record(json.loads(json.dumps(to_record(exact)))) == exact


def test_what_another_version_wrote_is_not_read() -> None:
    assert from_record({**to_record(STUDIES["ten"]), "version": 0}) is None
    assert from_record(None) is None


def test_hundreds_of_lineages_stay_a_small_file() -> None:
    assert len(json.dumps(to_record(STUDIES["many"]))) < 300_000


def test_a_log_gets_few_lines() -> None:
    elapsed, count = 0.0, 0
    while elapsed < 24 * 3600:
        elapsed += pause_s(elapsed)
        count += 1
        if elapsed < 3600:
            assert count <= 60
    assert count < 350
    assert pause_s(0) == 10


def test_a_line_says_where_the_run_is() -> None:
    assert began(STUDIES["ten"]) == (
        "digits: 10 lineages on 5 dense runs, 115 trainings, 61,000 steps, 5,400 saved by sharing, "
        "1,200 in the store already"
    )
    assert where(STUDIES["ten"]) == (
        "60 %, 52/115 trainings, 2/10 lineages, 1,240 steps/s, 3 min 20 s so far, about 42 s left"
        f" | now iterative/k0/seed0 round 6 (23 %), {DENSE} (35 %), one_shot/k0/seed0 round 8 (23 %) and 1 more"
        " | last b/k0/seed0: 13.4% remaining, 96.8% test"
    )

"""A simulated study of many tickets is whole without being trained, and its costs are fitted to their sizes."""

import math
from pathlib import Path

import pytest

from benchmarks.scale.__main__ import exponent
from benchmarks.scale.simulated import study_of
from benchmarks.scale.stages import STAGES
from lth_ray.lottery import make_plan
from lth_ray.store import Store


def test_the_exponent_is_that_of_a_power() -> None:
    assert exponent([10, 100, 1000], [2, 20, 200]) == pytest.approx(1)
    assert exponent([10, 100, 1000], [0.3, 30, 3000]) == pytest.approx(2)
    assert math.isnan(exponent([10], [2]))


def test_a_plan_takes_the_records_for_a_finished_study_s(tmp_path: Path) -> None:
    study, store = study_of(50), Store.open(str(tmp_path))
    before = make_plan(study, store=store)
    assert len(before.lineages) == len(before.branches) == 10
    assert sum(len(lineage.rounds) for lineage in before.lineages) == 50
    assert before.jobs
    STAGES["records"](50, str(tmp_path))()
    assert not make_plan(study, store=store).jobs
    assert STAGES["gc"](50, str(tmp_path))() == {"removals": 0}

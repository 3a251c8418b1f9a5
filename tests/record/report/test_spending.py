"""The cost of a study's trainings, on its report's page."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from lth_ray.lottery import Plan
from lth_ray.lottery.kept.records import SegmentRecord
from lth_ray.record.report.environments import HOURS, SECONDS, core_seconds, spent
from lth_ray.record.report.making import report
from lth_ray.store import Store
from tests.records import segment_record


def record(key: str, seconds: float, moments: tuple[int, ...] = (), **environment: int) -> SegmentRecord:
    usage = {"moment": [*moments]} if moments else None
    return segment_record(key=key, seconds=seconds, usage=usage, environment=environment)


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([], 0.0),
        ([record("a", 2.0), record("b", 3.0)], 5.0),
        ([record("a", 2.0), record("a", 2.0)], 2.0),
        ([record("a", 2.0, threads=3, world_size=2), record("b", 3.0, threads=1, world_size=4)], 24.0),
        ([record("a", 2.0, (7, 8)), record("b", 2.5, (7, 8)), record("c", 2.0, (7, 9))], 4.5),  # a and b: one batch
    ],
)
def test_core_seconds(records: list[SegmentRecord], expected: float) -> None:
    assert core_seconds(records) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(12.34, {SECONDS: "12.3"}), (5000.0, {SECONDS: "5,000"}), (90_000.0, {HOURS: "25.0"})],
)
def test_they_are_printed_in_a_unit_of_their_size(seconds: float, expected: dict[str, str]) -> None:
    assert spent([record("a", seconds)]) == expected


@pytest.mark.parametrize("ledger", [None, {"trained_steps": 0, "seconds": 3.1}])
def test_a_page_says_what_the_whole_study_took_also_after_a_rerun(
    ledger: dict[str, Any] | None, plan: Plan, store: Store, fill: Callable[..., None]
) -> None:
    fill(store, plan)
    written = report(plan, store, ledger=ledger)
    page = store.get(written.page).decode()
    facts = dict(re.findall(r"<div><dt>(.*?)</dt><dd>(.*?)</dd></div>", page))
    assert facts[SECONDS] == f"{1.25 * len(plan.keys & store.segments()):.1f}"
    assert facts.get("seconds that this run took") == (None if ledger is None else "3.1")

"""One rule says whether a lineage ends: of a record, of a trial's result, of a row."""

from typing import Any

import pytest

from lth_ray.config import ACCURACY, Metric
from lth_ray.config.tasks.metric import RMSE
from lth_ray.lottery.kept.records import SegmentRecord
from lth_ray.lottery.stop_rule import StopRule, ending, ending_of
from tests.records import segment_record

NAN = float("nan")


@pytest.mark.parametrize(
    ("diverged_at", "judged", "rule", "expected"),
    [
        (None, 0.4, None, None),
        (None, 0.5, StopRule(0.5, ACCURACY), None),
        (None, 0.4, StopRule(0.5, ACCURACY), "its accuracy 0.4000 is under stop_below = 0.5"),
        (None, 0.6, StopRule(0.5, RMSE), "its root mean square error 0.6000 is over stop_below = 0.5"),
        (None, None, StopRule(0.5, ACCURACY), None),
        (7, 0.9, None, "its loss became NaN or infinite by step 7"),
        (7, 0.4, StopRule(0.5, ACCURACY), "its loss became NaN or infinite by step 7"),
    ],
)
def test_a_lineage_ends(diverged_at: int | None, judged: float, rule: StopRule | None, expected: str | None) -> None:
    assert ending(diverged_at, judged, rule) == expected


def record(**journal: Any) -> SegmentRecord:
    return segment_record(journal={"step": [1], **{name: [value] for name, value in journal.items()}})


@pytest.mark.parametrize(
    ("journal", "ends"),
    [
        ({"validation_accuracy": 0.4, "test_accuracy": 0.9}, True),
        ({"validation_accuracy": 0.9, "test_accuracy": 0.4}, False),
        ({"test_accuracy": 0.4}, True),
        ({}, False),
    ],
)
def test_a_record_is_judged_by_validation_else_by_test(journal: dict[str, float], ends: bool) -> None:
    assert (ending_of(record(**journal), StopRule(0.5, ACCURACY)) is not None) == ends
    assert ending_of(record(**journal), None) is None


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([{"validation_accuracy": 0.1}, {"validation_accuracy": 0.2}], "validation"),
        ([{"validation_accuracy": 0.1}, {"validation_accuracy": None}], "test"),
        ([{"validation_accuracy": 0.1}, {"validation_accuracy": NAN}], "test"),
        ([{}], "test"),
    ],
)
def test_networks_are_judged_by_one_split(rows: list[dict[str, Any]], expected: str) -> None:
    assert ACCURACY.judging(rows) == expected
    assert Metric("r2", "higher").judged({"validation_r2": NAN, "test_r2": 0.25}) == 0.25

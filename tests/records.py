"""Records for tests that need only some of their fields."""

from typing import Any

from lth_ray.lottery.kept.records import SegmentRecord, TableRecord

COMMON: dict[str, Any] = {
    "key": "k", "meaning": {}, "remaining_weights": 0.5, "content": "c", "started_at": "2026-01-02T03:04:05+00:00",
    "seconds": 1.0, "environment": {"device": "x"},
}  # fmt: skip


def segment_record(**given: Any) -> SegmentRecord:
    other = {"trajectory": "t", "first": 0, "last": 1, "backend": "eager-fp32", "mask": None, "diverged_at": None}
    return SegmentRecord(**{**COMMON, **other, **given})


def table_record(**given: Any) -> TableRecord:
    return TableRecord(**{**COMMON, "kind": "barrier", "measurements": {}, "columns": {}, **given})

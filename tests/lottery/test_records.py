"""Records of segments and tables: their names and order on disk are pinned, and those of other versions are read."""

from typing import Any

import pytest
from torch import nn

from lth_ray.config import MaskOverlap, steps
from lth_ray.lottery.kept.records import SegmentRecord, TableRecord, read_record
from lth_ray.lottery.tickets.importing import import_ticket
from lth_ray.store import Store

SEGMENT = [
    "key", "trajectory", "meaning", "functions", "metric", "first", "last", "backend", "mask", "remaining_weights",
    "remaining_of_all", "forward_flops", "scoring_flops", "layer_densities", "collapse", "tied", "content", "files",
    "states", "contents", "journal", "measurements", "diverged_at", "train_steps", "started_at", "seconds",
    "environment", "earlier_environments", "usage",
]  # fmt: skip
TABLE = [
    "key", "kind", "meaning", "metric", "remaining_weights", "remaining_of_all", "measurements", "columns", "content",
    "mask", "diverged_at", "started_at", "seconds", "environment",
]  # fmt: skip
NOT_IMPORTED = {"scoring_flops", "functions", "metric", "remaining_of_all", "collapse", "usage"}
OLD: dict[str, Any] = {
    "key": "k-40", "trajectory": "k", "meaning": {}, "first": 0, "last": 40, "backend": "eager-fp32", "mask": None,
    "remaining_weights": 1.0, "content": "c", "diverged_at": None, "started_at": "2026-01-02T03:04:05+00:00",
    "seconds": 1.0, "environment": {"device": "cpu"},
}  # fmt: skip


def test_what_a_study_writes_has_these_names_in_this_order(lab: Any) -> None:
    ran = lab.run(lab.study({"train.length": steps(5)}, seeds=[0, 1], rewind=[steps(0)], branches=[MaskOverlap()]))
    segment = ran.store.segment(ran.key(1))
    assert list(segment) == SEGMENT
    read = read_record(SegmentRecord, segment)
    assert read.to_json() == segment
    assert (read.train_steps, read.first_mask, read.mask) == (5, None, segment["mask"])
    table = ran.store.table(next(row["key"] for row in ran.branches))
    assert list(table) == TABLE
    assert read_record(TableRecord, table).to_json() == table


def test_what_is_imported_leaves_out_what_no_training_said(tmp_path: Any) -> None:
    key = import_ticket(nn.Linear(3, 2), str(tmp_path))
    record = Store.open(str(tmp_path)).segment(key)
    assert record is not None
    assert list(record) == [name for name in SEGMENT if name not in NOT_IMPORTED]
    assert record["backend"] is None


def test_a_record_of_an_older_version_is_read_without_what_it_lacks() -> None:
    read = read_record(SegmentRecord, OLD)
    assert (read.remaining_of_all, read.tied, read.journal, read.earlier_environments) == (None, {}, {}, [])
    assert {name: value for name, value in read.to_json().items() if name in OLD} == OLD


def test_what_only_a_newer_version_knows_is_passed_over() -> None:
    assert read_record(SegmentRecord, {**OLD, "colour": "red"}) == read_record(SegmentRecord, OLD)


@pytest.mark.parametrize("name", ["key", "content", "mask"])
def test_what_every_version_wrote_must_be_there(name: str) -> None:
    with pytest.raises(TypeError, match=name):
        read_record(SegmentRecord, {field: value for field, value in OLD.items() if field != name})

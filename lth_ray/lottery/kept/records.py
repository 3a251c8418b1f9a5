"""The records of finished segments and tables: all that is written of them, in the order in which it is.

A record on disk is JSON. Older versions of lth_ray have left out what they did not know: such a field is here at its
default, and what only a newer version knows is passed over.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

Json = dict[str, Any]
Columns = dict[str, list[Any]]
Kind = TypeVar("Kind", "SegmentRecord", "TableRecord")


@dataclass(frozen=True, kw_only=True)
class SegmentRecord:
    """The record of a finished segment: existence is completion.

    functions: {field: [name, source]} of the study's own.
    metric: the document of what its network is judged by; None where that is accuracy and nobody said so yet.
    first, last: the steps it is trained between; diverged_at: the one at which its loss was not finite, or None.
    mask: the content of its mask, None for a dense network.
    remaining_weights, remaining_of_all: shares of the weights that may be pruned, and of all.
    forward_flops: of one image.
    scoring_flops: of the scores that its mask was found by; None of a mask that was not found for it.
    collapse: what the mask has done to layers, pruning.collapse.
    tied: {another name: its name in the mask} of what layers share.
    content: of its mask and its last state.
    files: that collection keeps for it.
    states: the steps whose states are kept; contents: {step: content} of those that were.
    seconds: spent on it, interruptions left out.
    environment, earlier_environments: where it was trained last, and before that.
    usage: what it took of its machine, `Usage.columns`.
    looks, drawn: at masks on the way, and where one was drawn (lth_ray.lottery.execution.looking).
    first_mask, mask_history, mask_changed, regrowth_flops: of a mask that changed (execution.changed_masks).
    """

    key: str
    trajectory: str
    meaning: Json
    functions: dict[str, list[str | None]] | None = None
    metric: Json | None = None
    first: int
    last: int
    backend: str | None
    mask: str | None
    remaining_weights: float
    remaining_of_all: float | None = None
    forward_flops: float | None = None
    scoring_flops: float | None = None
    layer_densities: dict[str, float] = field(default_factory=dict)
    collapse: Json | None = None
    tied: dict[str, str] = field(default_factory=dict)
    content: str
    files: list[str] = field(default_factory=list)
    states: list[int] = field(default_factory=list)
    contents: dict[str, str] = field(default_factory=dict)
    journal: Columns = field(default_factory=dict)
    measurements: dict[str, float | None] = field(default_factory=dict)
    diverged_at: int | None
    train_steps: int = 0
    started_at: str
    seconds: float
    environment: Json
    earlier_environments: list[Json] = field(default_factory=list)
    usage: dict[str, list[float]] | None = None
    looks: Json | None = None
    drawn: Json | None = None
    first_mask: str | None = None
    mask_history: Columns | None = None
    mask_changed: float | None = None
    regrowth_flops: float | None = None

    @property
    def ended_at(self) -> int | None:
        """The step at which it has ended where no plan knew it: where it has drawn, or was stretched to."""
        if self.drawn:
            return int(self.drawn["step"])
        return self.last if self.meaning.get("stretch") else None

    def to_json(self) -> Json:
        """Return what is written: without those of `LEFT_OUT` that are None."""
        return {name: value for name, value in _values(self).items() if value is not None or name not in LEFT_OUT}


LEFT_OUT = {
    *("functions", "metric", "remaining_of_all", "collapse", "usage", "looks", "drawn", "scoring_flops"),
    *("first_mask", "mask_history", "mask_changed", "regrowth_flops"),
}


@dataclass(frozen=True, kw_only=True)
class TableRecord:
    """The record of a measured table.

    remaining_weights, remaining_of_all: as in the record of the segment whose mask it is about.
    measurements: what becomes columns of a result. columns: curves and histograms, of equal length.
    content: of both. mask, diverged_at: None, as a table has neither.

    What only a training has is here as of one without steps, so that results of both kinds are read alike.
    """

    backend: ClassVar[None] = None
    first: ClassVar[int] = 0
    train_steps: ClassVar[int] = 0
    journal: ClassVar[Mapping[str, list[Any]]] = MappingProxyType({})
    layer_densities: ClassVar[Mapping[str, float]] = MappingProxyType({})
    collapse: ClassVar[None] = None
    usage: ClassVar[None] = None

    key: str
    kind: str
    meaning: Json
    metric: Json | None = None
    remaining_weights: float
    remaining_of_all: float | None = None
    measurements: dict[str, float | None]
    columns: Columns
    content: str
    mask: None = None
    diverged_at: None = None
    started_at: str
    seconds: float
    environment: Json

    def to_json(self) -> Json:
        """Return what is written."""
        return _values(self)


Record = SegmentRecord | TableRecord


def chosen(record: Record, names: Iterable[str]) -> Json:
    """Return the fields of these names that a record of its kind has."""
    values = _values(record)
    return {name: values[name] for name in names if name in values}


def segments(records: Mapping[str, Record]) -> dict[str, SegmentRecord]:
    """Return those that are of segments."""
    return {key: record for key, record in records.items() if isinstance(record, SegmentRecord)}


def read_record(kind: type[Kind], stored: Mapping[str, Any]) -> Kind:
    """Return a record of what was written, by this version or another."""
    known = {one.name for one in fields(kind)}
    return kind(**{name: value for name, value in stored.items() if name in known})


def _values(record: SegmentRecord | TableRecord) -> Json:
    """Return the fields and their values themselves: no copies, as dataclasses.asdict makes of every number."""
    return {one.name: getattr(record, one.name) for one in fields(record)}

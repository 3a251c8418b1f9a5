"""Loading a ticket: the mask, the weights it is rewound to, the weights it was trained to."""

import os
from dataclasses import dataclass, field
from html import escape
from typing import Any

from lth_ray.lottery.execution.networks import masked
from lth_ray.lottery.kept.records import SegmentRecord, read_record
from lth_ray.lottery.kept.stored import finished_segment
from lth_ray.lottery.measurements import measurements, metric_of
from lth_ray.models import retied
from lth_ray.store import StorageError, Store, Tensors, layout


@dataclass(frozen=True, repr=False)
class Ticket:
    """A sparse subnetwork and what training it gave.

    mask: {parameter: bool tensor}, True keeps; empty for the dense network.
    rewind_state, trained_state: state dicts with pruned weights at zero; None where the study did not keep them. Those
        of Train(ema_decay=...) hold the moving averages as well, as `averages.NAME` with / for the dots in it.
    provenance: the segment's record: its meaning, measurements and environment.
    tied: {another name: its name in `mask`} of what layers share; the states have it under all of its names.
    """

    mask: Tensors
    rewind_state: Tensors | None
    trained_state: Tensors | None
    provenance: dict[str, Any]
    tied: dict[str, str] = field(default_factory=dict)

    @property
    def record(self) -> SegmentRecord:
        """Its provenance, field by field."""
        return read_record(SegmentRecord, self.provenance)

    def __repr__(self) -> str:
        return "\n".join([f"Ticket {self.record.key}", *self._facts()])

    def _repr_html_(self) -> str:
        layers = "".join(
            f"<tr><td style='text-align: left'>{escape(name)}</td><td>{' x '.join(map(str, kept.shape))}</td>"
            f"<td>{int(kept.sum()):,}</td><td>{100 * float(kept.float().mean()):.3g} %</td></tr>"
            for name, kept in self.mask.items()
        )
        table = f"<table><tr><th>layer</th><th>shape</th><th>weights kept</th><th></th></tr>{layers}</table>"
        facts = "<br>".join(map(escape, self._facts()))
        return f"<div><b>Ticket</b> <code>{self.record.key}</code><p>{facts}</p>{table if layers else ''}</div>"

    def _facts(self) -> list[str]:
        """Return what it is and what it reached, in a few lines."""
        record = self.record
        metric, there = metric_of(record), {"rewind": self.rewind_state, "trained": self.trained_state}
        reached = measurements(record)[metric.column("test")]
        of = f" of {sum(kept.numel() for kept in self.mask.values()):,} weights" if self.mask else ""
        what = f"{100 * record.remaining_weights:.3g} %{of} remain" if self.mask else "a dense network"
        ended = f"diverged by step {record.diverged_at:,}" if record.diverged_at is not None else ""
        test = ended or (f"test {metric.called} {metric.printed(reached)}" if reached is not None else "")
        trained = f"trained from step {record.first:,} to {record.last:,}"
        states = ", ".join(f"{name} state {'missing' if state is None else 'there'}" for name, state in there.items())
        return [", ".join(filter(None, [what, trained, test])), states]


def load_ticket(key_or_path: str | os.PathLike[str], storage: str | None = None) -> Ticket:
    """Return the ticket of a row of Results.tickets() or branches().

    key_or_path: the row's `key`, or the path of its record (STORAGE/segments/KEY.json).
    storage: the study's storage; by default ./lth_storage, or where the path says.

    Raises StorageError when there is no such ticket, DamagedFile where a file of it is not what was written.
    """
    root, folder, name = os.fspath(key_or_path).rpartition("segments/")
    if folder:
        storage, key = storage or root.rstrip("/") or ".", name.removesuffix(".json")
    else:
        storage, key = storage or "./lth_storage", os.path.basename(name).removesuffix(".json")
    store = Store.open(storage, writable=False)
    stored = store.segment(key)
    if stored is None:
        raise StorageError(f"no ticket {key!r} in {store.uri}: give a `key` of Results.tickets(), and its storage")
    record = read_record(SegmentRecord, stored)
    mask = store.load_mask(record.mask) if record.mask else {}
    zero = {} if record.meaning.get("frozen") else mask  # pruned weights that are frozen keep their values
    rewound = _masked(store, _rewound(store, record), zero, record.tied)
    trained = _masked(store, (record.trajectory, record.last), zero, record.tied)
    return Ticket(mask, rewound, trained, stored, record.tied)


def addresses(store: Store, record: SegmentRecord) -> dict[str, str]:
    """Return where a ticket's tensors lie: {"mask", "rewind", "trained": URI of a safetensors file}, of what is kept.

    A mask is packed bits; states are whole, their pruned weights not yet zero: `load_ticket` reads both.
    """
    mask = layout.mask_path(record.mask) if record.mask else None
    paths = {
        "mask": mask if mask and store.exists(mask) else None,
        "rewind": store.find_state(*_rewound(store, record)),
        "trained": store.find_state(record.trajectory, record.last),
    }
    return {name: f"{store.uri.rstrip('/')}/{path}" for name, path in paths.items() if path is not None}


def _rewound(store: Store, record: SegmentRecord) -> tuple[str, int]:
    """Return (trajectory, step) of the weights that its training set out from."""
    start = record.meaning["start"]
    before = finished_segment(store, start["drawn"]) if "drawn" in start else None
    if before is not None and before.ended_at is not None:
        return before.trajectory, before.ended_at
    return start.get("snapshot", record.trajectory), start.get("step", record.first)


def _masked(store: Store, at: tuple[str, int], mask: Tensors, ties: dict[str, str]) -> Tensors | None:
    if store.find_state(*at) is None:
        return None
    return retied(masked(store.load_state(*at).model, mask), ties)

"""Loading a ticket: the mask, the weights it is rewound to, the weights it was trained to."""

import os
from dataclasses import dataclass, field
from typing import Any

from lth_ray.lottery.execution.networks import masked
from lth_ray.lottery.kept.records import SegmentRecord, read_record
from lth_ray.lottery.kept.stored import finished_segment
from lth_ray.models import retied
from lth_ray.store import StorageError, Store, Tensors, layout


@dataclass(frozen=True)
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
    if "drawn" in start and (search := finished_segment(store, start["drawn"])) is not None and search.drawn:
        return search.trajectory, search.drawn["step"]
    return start.get("snapshot", record.trajectory), start.get("step", record.first)


def _masked(store: Store, at: tuple[str, int], mask: Tensors, ties: dict[str, str]) -> Tensors | None:
    if store.find_state(*at) is None:
        return None
    return retied(masked(store.load_state(*at).model, mask), ties)

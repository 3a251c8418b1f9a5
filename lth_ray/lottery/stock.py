"""What of a study is in the store: its records, as far as they are whole, and the states that were kept."""

import warnings
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from lth_ray.store import DamagedFile, Store, mask_path
from lth_ray.store.layout import MASKS, OPTIMIZER, STATES, state_of

Record = dict[str, Any]
READERS = 16  # records read at once: in a bucket the wait for one is some 20 ms


@dataclass(frozen=True)
class Stock:
    """records: {key: record} of finished segments. states, resumable: (trajectory, step) of the states that are kept,
    and of those kept with the optimizer's."""

    records: dict[str, Record] = field(default_factory=dict)
    states: frozenset[tuple[str, int]] = frozenset()
    resumable: frozenset[tuple[str, int]] = frozenset()

    def diverged(self, key: str) -> bool:
        """Whether it is finished and its training has diverged."""
        return key in self.records and self.records[key]["diverged_at"] is not None


def take_stock(store: Store, keys: Iterable[str]) -> Stock:
    """Looks for the segments and tables `keys`, changing nothing.

    One whose record is damaged or whose mask is lost is named in a warning and not counted: it is planned again.
    """
    records = whole_records(store, keys)
    masks = store.list(MASKS)
    lost = [key for key, record in records.items() if record["mask"] and mask_path(record["mask"]) not in masks]
    for key in lost:
        warnings.warn(f"{mask_path(records.pop(key)['mask'])} is lost: it is made again with {key}", stacklevel=2)
    paths = store.list(STATES)
    kept = {path: state for path in paths if (state := state_of(path)) is not None}
    resumable = frozenset(state for path, state in kept.items() if path.endswith(OPTIMIZER))
    return Stock(records, frozenset(kept.values()), resumable)


def whole_records(store: Store, keys: Iterable[str]) -> dict[str, Record]:
    """{key: record} of those segments and tables that are finished; a damaged record is named in a warning and left
    out."""
    tables = store.tables()

    def read(key: str) -> Record | DamagedFile | None:
        try:
            return store.table(key) if key in tables else store.segment(key)
        except DamagedFile as error:
            return error

    keys = sorted((tables | store.segments()) & set(keys))
    with ThreadPoolExecutor(READERS) as readers:
        found = dict(zip(keys, readers.map(read, keys), strict=True))
    for record in found.values():
        if isinstance(record, DamagedFile):
            warnings.warn(f"{record.path} is damaged ({record.why}): running the study makes it again", stacklevel=2)
    return {key: record for key, record in found.items() if isinstance(record, dict)}

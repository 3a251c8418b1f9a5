"""The parts of a study that are in the store: its records, as far as they are whole, and the states that were
kept.
"""

import warnings
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from lth_ray.lottery.kept.records import Record, SegmentRecord, TableRecord, read_record
from lth_ray.lottery.pieces import Piece
from lth_ray.store import DamagedFile, MissingFile, Store, mask_path
from lth_ray.store.layout import MASKS, OPTIMIZER, STATES, state_of

READERS = 16  # records read at once: in a bucket the wait for one is some 20 ms


@dataclass(frozen=True)
class Stock:
    """The stock of a study.

    records: {key: record} of finished segments.
    states, resumable: (trajectory, step) of the states that are kept, and of those kept with the optimizer's.
    """

    records: dict[str, Record] = field(default_factory=dict)
    states: frozenset[tuple[str, int]] = frozenset()
    resumable: frozenset[tuple[str, int]] = frozenset()

    def diverged(self, key: str) -> bool:
        """Return whether it is finished and its training has diverged."""
        return key in self.records and self.records[key].diverged_at is not None


def take_stock(store: Store, keys: Iterable[str]) -> Stock:
    """Look for the segments and tables `keys`, changing nothing.

    One whose record is damaged or whose mask is lost is named in a warning and not counted: it is planned again.
    """
    records = whole_records(store, keys)
    masks = store.list(MASKS)
    lost = [key for key, record in records.items() if record.mask and mask_path(record.mask) not in masks]
    for key in lost:
        warnings.warn(f"{mask_path(records.pop(key).mask or '')} is lost: it is made again with {key}", stacklevel=2)
    paths = store.list(STATES)
    kept = {path: state for path in paths if (state := state_of(path)) is not None}
    resumable = frozenset(state for path, state in kept.items() if path.endswith(OPTIMIZER))
    return Stock(records, frozenset(kept.values()), resumable)


def damaged_masks(pieces: Mapping[str, Piece], stock: Stock, store: Store) -> set[str]:
    """Return the finished segments whose masks those that are left to do read, and cannot.

    Each is named in a warning. Another mask may be read to make one of these again, and so on. Changes
    nothing.
    """
    seen, damaged = set[str](), set[str]()
    asked = {key for name, piece in pieces.items() if name not in stock.records for key in piece.after}
    while masks := {key: mask for key in asked - seen if key in stock.records and (mask := stock.records[key].mask)}:
        with ThreadPoolExecutor(READERS) as readers:
            wrong = dict(zip(masks, readers.map(lambda mask: _damage(store, mask), masks.values()), strict=True))
        seen |= masks.keys()
        found = {key: error for key, error in wrong.items() if error is not None}
        for key, error in found.items():
            warnings.warn(f"{error.path} is damaged ({error.why}): it is made again with {key}", stacklevel=2)
        damaged |= found.keys()
        asked = {need for key in found if key in pieces for need in pieces[key].after}
    return damaged


def _damage(store: Store, mask: str) -> DamagedFile | None:
    try:
        store.load_mask(mask)
    except DamagedFile as error:
        return error
    except MissingFile:  # a second run of the study may be making it
        return None
    return None


def finished_segment(store: Store, key: str) -> SegmentRecord | None:
    """Return the record of a finished segment, None where there is none. Raise DamagedFile; change nothing."""
    stored = store.segment(key)
    return None if stored is None else read_record(SegmentRecord, stored)


def finished_table(store: Store, key: str) -> TableRecord | None:
    """Return the record of a measured table, as `finished_segment` does that of a segment."""
    stored = store.table(key)
    return None if stored is None else read_record(TableRecord, stored)


def finished(store: Store, key: str) -> Record | None:
    """Return the record of a finished segment or table, as `finished_segment` does."""
    return finished_segment(store, key) or finished_table(store, key)


def whole_records(store: Store, keys: Iterable[str]) -> dict[str, Record]:
    """Return {key: record} of those segments and tables that are finished.

    A damaged record is named in a warning and left out.
    """
    tables = store.tables()

    def read(key: str) -> Record | DamagedFile | None:
        try:
            return finished_table(store, key) if key in tables else finished_segment(store, key)
        except DamagedFile as error:
            return error

    keys = sorted((tables | store.segments()) & set(keys))
    with ThreadPoolExecutor(READERS) as readers:
        found = dict(zip(keys, readers.map(read, keys), strict=True))
    for record in found.values():
        if isinstance(record, DamagedFile):
            warnings.warn(f"{record.path} is damaged ({record.why}): running the study makes it again", stacklevel=2)
    return {key: record for key, record in found.items() if isinstance(record, SegmentRecord | TableRecord)}

"""Reads of what is stored: it is whole, or moved aside and made again."""

import warnings
from collections.abc import Callable
from typing import TypeVar

from lth_ray.lottery.kept.records import Json, Kind, SegmentRecord, TableRecord, read_record
from lth_ray.pruning import Mask
from lth_ray.store import DamagedFile, MissingFile, State, Store

T = TypeVar("T")


class MissingState(LookupError):
    """Something a segment is derived from is not in the store."""


def once_more(attempt: Callable[[], T]) -> T:
    """Return what `attempt` returns, tried again where something was missing.

    A second run of the study may just have finished this, and removed what it started from. Raises the first
    MissingState, which says why.
    """
    try:
        return attempt()
    except MissingState as missing:
        try:
            return attempt()
        except MissingState:
            raise missing from None


def stored_state(store: Store, trajectory: str, step: int, optimizer: bool = False) -> State:
    """Return a whole state of the store. Raise MissingState when none is kept. Damaged ones are moved aside."""
    why = "is not kept"
    while store.find_state(trajectory, step, with_optimizer=optimizer) is not None:
        try:
            return store.load_state(trajectory, step, with_optimizer=optimizer)
        except DamagedFile as error:
            why = set_aside(store, error)
    raise MissingState(f"{store.uri}: the state of {trajectory} at step {step} {why}; run the study again to make it")


def stored_segment(store: Store, key: str) -> SegmentRecord | None:
    """Return the record of a finished segment, None where there is none. A damaged one is moved aside."""
    return _record(SegmentRecord, store, lambda: store.segment(key))


def stored_table(store: Store, key: str) -> TableRecord | None:
    """Return the record of a measured table, as `stored_segment` does that of a segment."""
    return _record(TableRecord, store, lambda: store.table(key))


def _record(kind: type[Kind], store: Store, read: Callable[[], Json | None]) -> Kind | None:
    try:
        stored = read()
    except DamagedFile as error:
        set_aside(store, error)
        return None
    return None if stored is None else read_record(kind, stored)


def recorded_mask(store: Store, key: str, at_first: bool = False) -> Mask | None:
    """Return the mask of a finished segment, None for a dense one. Raise MissingState where it is not whole.

    at_first: the one that a mask which changes on the way began with.
    """
    record = stored_segment(store, key)
    if record is None:
        raise MissingState(f"{store.uri}: there is no segment {key}; run the study again to make it")
    held = (record.first_mask if at_first else None) or record.mask
    if held is None:
        return None
    try:
        return store.load_mask(held)
    except MissingFile as error:
        why = str(error)
    except DamagedFile as error:
        why = set_aside(store, error)
    raise MissingState(f"{store.uri}: the mask of {key} {why}; run the study again to make it")


def drawn_step(store: Store, key: str) -> int:
    """Return the step at which a segment has drawn its mask, or a stretched one has ended; raise MissingState where it
    has not.
    """
    record = stored_segment(store, key)
    if record is None or record.ended_at is None:
        raise MissingState(f"{store.uri}: segment {key} has drawn no mask, or has not ended; run the study again")
    return record.ended_at


def ended_state(store: Store, key: str) -> tuple[str, int]:
    """Return (trajectory, step) of what a segment ended with, whose key alone does not tell where that was."""
    record = stored_segment(store, key)
    if record is None:
        raise MissingState(f"{store.uri}: there is no segment {key}; run its study again to make it")
    return record.trajectory, record.last if record.ended_at is None else record.ended_at


def is_whole(mask: str, store: Store) -> bool:
    """Return whether a mask is there as it was written; a damaged one is moved aside."""
    try:
        store.load_mask(mask)
    except MissingFile:
        return False
    except DamagedFile as error:
        set_aside(store, error)
        return False
    return True


def set_aside(store: Store, error: DamagedFile) -> str:
    """Move a damaged file out of the way, so that what it held is made again; return what was done, as a
    clause.
    """
    store.quarantine(error.path)
    done = f"was damaged ({error.path}: {error.why}; it is in damaged/ now)"
    warnings.warn(f"{store.uri}: what this file held {done}", stacklevel=3)
    return done

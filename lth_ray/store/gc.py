"""The collection of what no study reaches any more: first a plan that can be read, then the removal.

Only in a storage, and of it only files whose names are of the form that lth_ray gives: whatever else somebody keeps in
the same folder or bucket is none of its business.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath

from lth_ray import probes
from lth_ray.store import layout
from lth_ray.store.errors import StorageError
from lth_ray.store.files import MARKER, TEMPORARY, Entry
from lth_ray.store.live import live_runs
from lth_ray.store.marker import is_storage
from lth_ray.store.store import Store

READERS = 16  # records read at once: on S3 the wait for one is some 20 ms


@dataclass(frozen=True)
class Reached:
    """Everything that the studies that are to be kept stand on.

    segments, tables: keys, whether published yet or not (an unfinished segment keeps its checkpoints, and so
        those of KEY@...).
    states: (trajectory, step), beside those that the records themselves name.
    files: paths, likewise.
    """

    segments: frozenset[str] = frozenset()
    tables: frozenset[str] = frozenset()
    states: frozenset[tuple[str, int]] = frozenset()
    files: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Removal:
    """One file to go.

    modified: seconds since the epoch, as it was when the plan was made.
    """

    path: str
    bytes: int
    why: str
    modified: float


def plan_gc(store: Store, reached: Reached, grace_s: float = 3600.0, now: float | None = None) -> list[Removal]:
    """Return what may go, in the order in which it must: records before the files they name.

    A file younger than grace_s (by the storage's clock) stays, and so does all that a young record names: a run whose
    driver was lost may still commit it. studies/ is never touched. Raises DamagedFile where a bundle, or a record that
    stays, cannot be read, since what it holds or names is then unknown; StorageError where this is no storage, or
    grace_s no number.
    """
    if not (math.isfinite(grace_s) and grace_s >= 0):
        raise StorageError(f"grace_s = {grace_s}: give a number of seconds, 0 or more")
    if not is_storage(store.files):
        raise StorageError(
            f"{store.uri} is no storage of lth_ray: it has neither {MARKER} nor a record of a study; give the folder "
            "or the s3://BUCKET/PREFIX that a study was run with"
        )
    store.bundled.check()
    now = store.now() if now is None else now
    at_work = bool(live_runs(store))
    entries = [*store.files.entries(""), *store.files.entries(TEMPORARY)]
    entries = [entry for entry in entries if layout.is_own(entry.path)]
    young = {entry.path for entry in entries if now - entry.modified < grace_s}
    records = {entry.path for entry in entries if _folder(entry) in (layout.SEGMENTS, layout.TABLES)}
    kept = {path for path in records if path in young or _is_reached(path, reached)}
    names = [reached.files | reached.states, *_named(store, kept)]
    named = frozenset[object]().union(*names)
    removals = [
        Removal(entry.path, entry.bytes, why, entry.modified)
        for entry in entries
        if not named & {entry.path, layout.state_of(entry.path)}
        and entry.path not in young
        and (why := _why(entry, kept, reached, at_work))
    ]
    return sorted(removals, key=lambda removal: (removal.path not in records, removal.path))


def collect(store: Store, removals: Iterable[Removal], beside_live_runs: bool = False) -> int:
    """Carry out a plan in its order; return the bytes freed.

    A kill at any time leaves files without a record at most, which the next plan finds again.

    Raises StorageError while a run is live, unless told not to: a run may be about to build on an old file. Runs that
    have been silent are watched for a while first. A file that was written again since the plan was made stays.
    """
    if not beside_live_runs and (runs := live_runs(store, watch=True)):
        names = ", ".join(f"{run.study} on {run.host} (pid {run.pid})" for run in runs)
        raise StorageError(f"nothing was collected from {store.uri}, because runs are live: {names}; wait for them")
    freed = 0
    for folder, group in _by_folder(removals).items():
        unchanged = {entry.path: entry.modified for entry in store.files.entries(folder)}
        going = [removal for removal in group if unchanged.get(removal.path) == removal.modified]
        held = store.bundled.members()
        for removal in (removal for removal in going if removal.path not in held):
            store.delete(removal.path)
            probes.point("gc")
        store.delete(*(removal.path for removal in going if removal.path in held))  # each bundle is written anew once
        freed += sum(removal.bytes for removal in going)
    return freed


def _why(entry: Entry, kept: set[str], reached: Reached, at_work: bool) -> str | None:
    """Return the reason for which a file that is old and that no kept record names may go; None where it may
    not.

    at_work: some run is live.
    """
    key = PurePosixPath(entry.path).parent.name
    match _folder(entry):
        case layout.SEGMENTS | layout.TABLES if entry.path not in kept:
            return "no study reaches this record"
        case layout.STATES | layout.MASKS:
            return "no record names it"
        case layout.CHECKPOINTS if layout.segment_path(key) in kept:
            return "its segment is finished"
        case layout.CHECKPOINTS if key.partition("@")[0] not in reached.segments:
            return "no study reaches its segment"
        case layout.CLAIMS if not at_work:
            return "the run that claimed it is gone"
        case layout.DAMAGED:
            return "it was set aside as damaged"
        case folder if folder == TEMPORARY:
            return "a writer that was killed left it"
    return None


def _named(store: Store, records: Iterable[str]) -> list[set[object]]:
    """Return what each record says it stands on: paths, and states as (trajectory, step)."""

    def named(path: str) -> set[object]:
        folder, key = PurePosixPath(path).parent.name, PurePosixPath(path).stem
        record = (store.segment(key) if folder == layout.SEGMENTS else store.table(key)) or {}
        return {*record.get("files", ()), *((record["trajectory"], step) for step in record.get("states", ()))}

    with ThreadPoolExecutor(READERS) as readers:
        return list(readers.map(named, records))


def _is_reached(record: str, reached: Reached) -> bool:
    keys = reached.segments if record.startswith(f"{layout.SEGMENTS}/") else reached.tables
    return PurePosixPath(record).stem in keys


def _by_folder(removals: Iterable[Removal]) -> dict[str, list[Removal]]:
    groups: dict[str, list[Removal]] = {}
    for removal in removals:
        groups.setdefault(removal.path.partition("/")[0], []).append(removal)
    return groups


def _folder(entry: Entry) -> str:
    return entry.path.partition("/")[0]

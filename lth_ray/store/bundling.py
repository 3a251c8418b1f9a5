"""The bundling of what many finished trainings have left: their records, masks and small states.

First a bundle is written, and only when it has been there for a while do its files go that lie by themselves as well,
so that a host whose view of a mounted folder is a little old misses nothing. A kill at any time leaves both.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import PurePosixPath

from lth_ray import probes
from lth_ray.store import layout
from lth_ray.store.bundles import BundledFiles
from lth_ray.store.errors import DamagedFile, MissingFile, StorageError
from lth_ray.store.files import BUNDLES, TEMPORARY, Entry
from lth_ray.store.records import decode_record
from lth_ray.store.store import Store

AT_LEAST = 256  # records by themselves: of fewer a person may like to look at the files
SMALL_BYTES = 2 * 2**20  # larger ones are few, and not worth another copy
BUNDLE_BYTES = 64 * 2**20
AT_IT = f"{TEMPORARY}/bundling"  # there while a process is bundling, and renewed with each bundle
KILLED_S = 600.0  # when it is as old as this, its process was killed
JOIN_S = 5.0
SETTLED_S = 120.0  # longer than a client of NFS believes an old listing
EVERY_S, SHARE = 60.0, 20  # how often it is looked for what to bundle, at most one part in so many of the time
READERS, AT_A_TIME = 16, 256  # of threads, and of files that these are given before it is asked whether to go on
KINDS = {layout.SEGMENTS: "segment", layout.TABLES: "table"}


@contextmanager
def bundling(store: Store, every_s: float = EVERY_S) -> Iterator[None]:
    """Bundle what finished trainings have left, from time to time, for as long as the block runs.

    By a thread of its own. A storage that fails is asked again later, and never ends the run.
    """
    store, done = store.impatient, threading.Event()

    def going_on() -> bool:
        return not done.is_set()

    def work() -> None:
        took_s = 0.0
        while not done.wait(max(every_s, SHARE * took_s)):
            began = time.monotonic()
            with suppress(StorageError):
                remove_bundled(store, going_on=going_on)
                write_bundles(store, going_on=going_on)
            took_s = time.monotonic() - began

    thread = threading.Thread(target=work, name="lth_ray-bundling", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(JOIN_S)


def write_bundles(store: Store, at_least: int = AT_LEAST, going_on: Callable[[], bool] = lambda: True) -> int:
    """Bundle what records stand on, where so many records lie by themselves; return the number of bundles.

    going_on: asked after each; False ends it there.
    """
    files, written = store.bundled, 0
    if len(_records(files)) < at_least or not _is_alone(store):
        return 0
    try:
        for contents in _portions(files):
            files.bundle(contents)
            written += 1
            probes.point("bundled")
            store.put(AT_IT, b"")
            if not going_on():
                break
    finally:
        store.delete(AT_IT)
    return written


def remove_bundled(store: Store, settled_s: float = SETTLED_S, going_on: Callable[[], bool] = lambda: True) -> int:
    """Remove files that lie by themselves and, byte for byte, in a bundle of this age; return how many.

    going_on: asked from time to time; False ends it there.
    """
    files = store.bundled
    written = {entry.path: entry.modified for entry in files.files.entries(BUNDLES)}
    members = files.members() if written else {}
    now = store.now() if written else 0.0
    twice = [
        entry.path
        for entry in _alone(files)
        if (member := members.get(entry.path)) is not None
        and now - max(entry.modified, written.get(member.bundle, now)) >= settled_s
        and (member.modified == entry.modified or files.files.get(entry.path) == files.in_bundle(entry.path))
    ]

    def remove(path: str) -> bool:
        """Remove it, unless its bundle has gone meanwhile: what is by itself now may be another."""
        if not files.files.exists(members[path].bundle):
            return False
        files.files.delete(path)
        probes.point("unbundled")
        return True

    removed = 0
    with ThreadPoolExecutor(READERS) as removers:
        for first in range(0, len(twice), AT_A_TIME):
            if not going_on():
                break
            removed += sum(removers.map(remove, twice[first : first + AT_A_TIME]))
    return removed


def _is_alone(store: Store) -> bool:
    """Return whether no other process is bundling: two at once would do no harm, and keep much of it twice."""
    if store.put_if_absent(AT_IT, b""):
        return True
    renewed = [entry.modified for entry in store.files.entries(TEMPORARY) if entry.path == AT_IT]
    if not renewed or store.now() - renewed[0] <= KILLED_S:
        return False
    store.put(AT_IT, b"")
    return True


def _portions(files: BundledFiles) -> Iterator[dict[Entry, bytes]]:
    """Yield the files of bundles to be made: records that lie by themselves, each with what it names and is small.

    What several records name goes into one bundle. A record of which something is gone meanwhile, or was written again,
    is left to another time: it may be being collected, and must not come back without what it names.
    """
    taken = set(files.members())
    alone = {entry.path: entry for entry in _alone(files) if entry.bytes <= SMALL_BYTES}
    states: dict[tuple[str, int], list[Entry]] = {}
    for path, entry in alone.items():
        if (state := layout.state_of(path)) is not None:
            states.setdefault(state, []).append(entry)
    portion, size = dict[Entry, bytes](), 0
    with ThreadPoolExecutor(READERS) as readers:
        for record in _records(files):
            named = [one for one in (record, *_named(files, record, alone, states)) if one.path not in taken]
            read = dict(zip(named, readers.map(lambda entry: _read(files, entry), named), strict=True))
            found = {entry: data for entry, data in read.items() if data is not None}
            if found.keys() == read.keys():
                portion |= found
                taken.update(entry.path for entry in found)
                size += sum(map(len, found.values()))
            if size >= BUNDLE_BYTES:
                yield portion
                portion, size = {}, 0
    if portion:
        yield portion


def _named(
    files: BundledFiles, entry: Entry, alone: Mapping[str, Entry], states: Mapping[tuple[str, int], list[Entry]]
) -> Iterable[Entry]:
    """Return the small files by themselves that a record keeps; none of a damaged one."""
    path = PurePosixPath(entry.path)
    try:
        record = decode_record(files.files.get(entry.path), KINDS[path.parent.name], path.stem, entry.path)
    except (DamagedFile, MissingFile):
        return []
    masks = [alone[name] for name in record.get("files", ()) if name in alone]
    return [*masks, *(one for step in record.get("states", ()) for one in states.get((record["trajectory"], step), ()))]


def _records(files: BundledFiles) -> list[Entry]:
    """Return the records that lie by themselves and in no bundle."""
    members = files.members()
    return [
        entry
        for folder in KINDS
        for entry in files.files.entries(folder)
        if layout.is_own(entry.path) and entry.path not in members
    ]


def _alone(files: BundledFiles) -> Iterator[Entry]:
    for folder in (*KINDS, layout.MASKS, layout.STATES):
        yield from (entry for entry in files.files.entries(folder) if layout.is_own(entry.path))


def _read(files: BundledFiles, entry: Entry) -> bytes | None:
    """Return the bytes of a file by itself; None where it is not as it was listed."""
    try:
        data = files.files.get(entry.path)
    except MissingFile:
        return None
    return data if len(data) == entry.bytes else None

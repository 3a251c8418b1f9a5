"""`lth-ray verify`: every file that a study stands on is read and compared with its content."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath

from rich.console import Console

from lth_ray.config import ConfigError, nearest
from lth_ray.lottery.kept.stored import finished_segment
from lth_ray.running import history
from lth_ray.store import MissingFile, Store
from lth_ray.store.files import BUNDLES
from lth_ray.store.layout import CHECKPOINTS, MASKS, SEGMENTS, STATES, STUDIES, TABLES, is_own, mask_path, state_of
from lth_ray.store.whole import damage
from lth_ray.watching.showing import PROGRESS

READERS = 4  # files read at once: a state may be large
RECORDS = (history.CANCELLED, PROGRESS)  # of a study's own, beside its history


@dataclass(frozen=True)
class Finding:
    """A file that is not as it should be.

    lost: it is not there at all.
    """

    path: str
    why: str
    lost: bool = False


def verify(store: Store, name: str | None, mend: bool, console: Console) -> int:
    """Say what is damaged or lost; return the exit code: 1 where something is damaged and still there, or
    lost.

    Raises ConfigError for an unknown study.

    name: a study; None for all that the storage holds.
    mend: move what is damaged to damaged/.
    """
    known = history.studies(store)
    if name is not None and name not in known:
        raise ConfigError(f"no study {name!r} in {store.uri}: {nearest(name, known) if known else 'it holds none yet'}")
    count, findings = _findings(store, [name] if name else known, everything=name is None)
    for finding in findings:
        if mend and not finding.lost:
            store.quarantine(finding.path)
        done = ": it is in damaged/ now" if mend and not finding.lost else ""
        console.print(f"{finding.path}: {finding.why}{done}", highlight=False, markup=False)
    damaged = sum(not finding.lost for finding in findings)
    said = f"{count:,} files read in {store.uri}: {damaged} damaged, {len(findings) - damaged} lost"
    remedy = ""
    if findings:
        again = "run the study again, which makes them"
        remedy = f"; {again}" if mend or not damaged else f"; --mend sets the damaged ones aside, then {again}"
    console.print(said + remedy, highlight=False, markup=False)
    return int((damaged > 0 and not mend) or len(findings) > damaged)


def _findings(store: Store, names: list[str], everything: bool) -> tuple[int, list[Finding]]:
    """Return how many files were read, and what is wrong, records first."""
    there = set(store.list())
    records = sorted(path for path in there if is_own(path) and path.startswith((f"{SEGMENTS}/", f"{TABLES}/")))
    keys, states, own = _reached(store, names, there)
    own += store.list(BUNDLES)  # what a damaged one held is missing from `there`
    if not everything:
        records = [path for path in records if PurePosixPath(path).stem in keys]
    findings = list(_damaged(store, [*own, *records]))
    wrong = {finding.path for finding in findings}
    masks, wanted = _named(store, [path for path in records if path not in wrong])
    kept = {state: path for path in there if (state := state_of(path)) is not None}
    findings += [
        Finding(path, f"it is lost: {key} names it", lost=True) for path, key in masks.items() if path not in there
    ]
    findings += [
        Finding(f"{STATES}/{trajectory}/{step:012d}-*", f"it is lost: {key} names it", lost=True)
        for (trajectory, step), key in wanted.items()
        if (trajectory, step) not in kept
    ]
    tensors = sorted(
        path
        for path in there
        if is_own(path)
        and (
            (path.startswith(f"{MASKS}/") and (everything or path in masks))
            or (path.startswith(f"{STATES}/") and (everything or state_of(path) in states | wanted.keys()))
            or (path.startswith(f"{CHECKPOINTS}/") and (everything or path.split("/")[1].partition("@")[0] in keys))
        )
    )
    findings += _damaged(store, tensors)
    return len(own) + len(records) + len(tensors), findings


def _reached(store: Store, names: list[str], there: set[str]) -> tuple[set[str], set[tuple[str, int]], list[str]]:
    """Return the keys and states of studies, by all of their declarations that can be read, and the studies'
    own records.
    """
    keys, states = set[str](), set[tuple[str, int]]()
    for name in names:
        for entry in history.read_entries(store, name):
            if isinstance(entry, dict):
                keys |= set(entry["keys"])
                states |= {(trajectory, step) for trajectory, step in entry["states"]}
    own = [
        path
        for path in sorted(there)
        if history.ENTRY.fullmatch(path) or (path.startswith(f"{STUDIES}/") and path.split("/")[2] in RECORDS)
    ]
    return keys, states, [path for path in own if path.split("/")[1] in names]


def _named(store: Store, records: Iterable[str]) -> tuple[dict[str, str], dict[tuple[str, int], str]]:
    """Return the masks and the states that finished segments stand on, each with the key of one that names
    it.
    """
    masks, states = dict[str, str](), dict[tuple[str, int], str]()
    segments = (PurePosixPath(path).stem for path in records if path.startswith(f"{SEGMENTS}/"))
    for key in segments:
        record = finished_segment(store, key)
        if record is None:
            continue
        if record.mask:
            masks[mask_path(record.mask)] = key
        states |= {(record.trajectory, step): key for step in record.states}
    return masks, states


def _damaged(store: Store, paths: Iterable[str]) -> Iterator[Finding]:
    def look(path: str) -> str | None:
        try:
            return damage(store, path)
        except MissingFile:  # a live run has removed it
            return None

    paths = list(paths)
    with ThreadPoolExecutor(READERS) as readers:
        for path, why in zip(paths, readers.map(look, paths), strict=True):
            if why is not None:
                yield Finding(path, f"it is damaged: {why}")

"""Claims on work in the storage, so that of several runs each takes what no other one is at.

A claim saves work and decides nothing: what a record holds is published exactly once, whoever trained it. So it binds
only as long as its run is live, and none where the storage fails.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from pathlib import PurePosixPath

from lth_ray.store import layout
from lth_ray.store.errors import DamagedFile, MissingFile, StorageError
from lth_ray.store.files import Entry
from lth_ray.store.live import LiveRun, live_runs
from lth_ray.store.records import decode_record, encode_record
from lth_ray.store.store import Store

KIND = "claim"


@dataclass(frozen=True)
class Claim:
    """A run's claim on the work that ends with `key`.

    what: it in words, the name of a job.
    study, run: of the run that has it.
    """

    key: str
    what: str
    study: str
    run: str


class Claims:
    """The claims of one run, and what it knows of the others'.

    A claim is a file that exactly one can make, KEY.0. Whoever finds that of a run that is not live takes the next
    turn, KEY.1, and so on; who has the last turn has the work.
    """

    def __init__(self, store: Store, run: LiveRun) -> None:
        self.store, self.run = store.impatient, run
        self._held: dict[str, list[str]] = {}  # key: the files to remove with the claim
        self._left: list[str] = []  # files that are still to be removed, as the storage failed
        self._unsure: set[str] = set()  # of all these files, those that may be another run's by now
        self._read: dict[tuple[str, float], Claim | None] = {}  # by path and time, as a listing shows it

    def take(self, key: str, what: str) -> bool:
        """Claim the work that ends with `key`; return False where a live run has it."""
        if key in self._held:
            return True
        own, passed = encode_record(KIND, key, {"what": what, "study": self.run.study, "run": self.run.id}), list[str]()
        try:
            for turn in count():
                path = layout.claim_path(key, turn)
                passed.append(path)
                if self.store.put_if_absent(path, own) or (claim := _read(self.store, path)) == _decoded(path, own):
                    break
                if claim is None or self._is_live(claim):  # None: just given back, and free in a moment
                    return False
            self._unsure -= {*passed}
        except StorageError:  # the last one may be this run's claim, or another's, whose work others are not to begin
            passed = passed[-1:]
            self._unsure |= {*passed}
        self._held[key] = passed
        self._left = [path for path in self._left if path not in passed]
        return True

    def give_back(self, key: str) -> None:
        """Let go of the work that ends with `key`: it is done, or will not be done by this run."""
        self._left = [*self._held.pop(key, ()), *self._left]
        self.remove_left()

    def remove_left(self) -> None:
        """Remove what was let go of and could not be removed then: others wait for it as long as this run lives."""
        for _ in range(len(self._left)):
            path = self._left.pop(0)
            try:
                if path not in self._unsure or self._is_own(path):
                    self.store.delete(path)
            except StorageError:  # another time, after the others; or it was done, and only the answer was lost
                self._left.append(path)
                self._unsure.add(path)
                return
            self._unsure.discard(path)

    def give_all_back(self) -> None:
        """Let go of everything."""
        self._left = [path for paths in self._held.values() for path in paths] + self._left
        self._held.clear()
        self.remove_left()

    def of_others(self) -> dict[str, tuple[Claim, LiveRun]]:
        """Return {key: claim and its run} of what other live runs are at."""
        entries = {(entry.path, entry.modified): entry for entry in _entries(self.store)}
        self._read = {at: self._read.get(at) or _read(self.store, at[0]) for at in entries}
        claims = [claim for claim in self._read.values() if claim is not None and claim.run != self.run.id]
        return _live(self.store, claims)

    def _is_own(self, path: str) -> bool:
        claim = _read(self.store, path)
        return claim is not None and claim.run == self.run.id

    def _is_live(self, claim: Claim) -> bool:
        return any(run.id == claim.run for run in live_runs(self.store, claim.study))


def claims_of(store: Store, study: str) -> dict[str, list[Claim]]:
    """Return {run: what it is at} of a study's live runs."""
    claims = (claim for entry in _entries(store) if (claim := _read(store, entry.path)) is not None)
    found: dict[str, list[Claim]] = {}
    for claim, run in _live(store, [claim for claim in claims if claim.study == study]).values():
        found.setdefault(run.id, []).append(claim)
    return found


def _live(store: Store, claims: Iterable[Claim]) -> dict[str, tuple[Claim, LiveRun]]:
    """Return those whose runs are live."""
    claims = list(claims)
    runs = {run.id: run for study in {claim.study for claim in claims} for run in live_runs(store, study)}
    return {claim.key: (claim, runs[claim.run]) for claim in claims if claim.run in runs}


def _entries(store: Store) -> list[Entry]:
    return [entry for entry in store.files.entries(layout.CLAIMS) if layout.is_own(entry.path)]


def _read(store: Store, path: str) -> Claim | None:
    """Return a claim; of a damaged one that of no run, which binds nobody; None where there is none."""
    try:
        return _decoded(path, store.get(path))
    except MissingFile:
        return None
    except DamagedFile:
        return Claim(_key(path), what="", study="", run="")


def _decoded(path: str, data: bytes) -> Claim:
    return Claim(_key(path), **decode_record(data, KIND, _key(path), path))


def _key(path: str) -> str:
    return PurePosixPath(path).stem.rpartition(".")[0]

"""The bundles of each storage as a process knows them: which there are, and what lies where in them."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from lth_ray.store.per_storage import PerStorage


@dataclass(frozen=True)
class Member:
    """A file in a bundle.

    begin: of its bytes in the bundle's file. modified: when it was written by itself.
    """

    bundle: str
    begin: int
    bytes: int
    modified: float


class Known:
    """The bundles of a storage, as far as this process knows them.

    bundles: {path: its members}.
    members: {path of a file: the member}, of one of the bundles that have it.
    """

    def __init__(self) -> None:
        self.bundles: dict[str, Mapping[str, Member]] = {}
        self.members: dict[str, Member] = {}
        self._folders: dict[str, dict[str, Member]] = {}
        self._lock = threading.Lock()
        self._begun = self._taken = 0  # the numbers of the newest listing, and of the newest that was taken in
        self._listed: frozenset[str] | None = None
        self._listed_by = 0  # the newest listing that had begun when this was first listed
        self._is_settled = False

    def next_turn(self) -> int:
        """Return the number of a listing that is about to begin."""
        with self._lock:
            self._begun += 1
            return self._begun

    def take_in(self, turn: int, there: frozenset[str], found: Mapping[str, Mapping[str, Member]]) -> bool:
        """Take in a listing, unless one that began later was; return whether all is known.

        It is where two listings agree of which one began after the other had ended, and every bundle was read.

        found: the members of those bundles that were not known.
        """
        with self._lock:
            if turn > self._taken:
                bundles = {
                    path: held for path in there if (held := found.get(path, self.bundles.get(path))) is not None
                }
                if bundles.keys() != self.bundles.keys():
                    self._set(bundles)
                if there != self._listed:
                    self._listed, self._listed_by = there, self._begun
                self._is_settled = turn > self._listed_by and there == bundles.keys()
                self._taken = turn
            return self._is_settled

    def forget(self, gone: Collection[str]) -> None:
        """Leave out bundles that are not there any more; what took their place is known by a later listing alone."""
        if gone:
            with self._lock:
                self._is_settled = False
                self._set({path: members for path, members in self.bundles.items() if path not in gone})

    def below(self, folder: str) -> Mapping[str, Member]:
        """Return the members below a folder; of a trajectory at once, as there may be a hundred thousand."""
        if "/" in folder:
            return self._folders.get(folder, {})
        return {path: one for path, one in self.members.items() if path.startswith(f"{folder}/" if folder else "")}

    def _set(self, bundles: dict[str, Mapping[str, Member]]) -> None:
        members, folders = dict[str, Member](), dict[str, dict[str, Member]]()
        for held in bundles.values():
            members |= held
        for path, member in members.items():
            folders.setdefault(path.rpartition("/")[0], {})[path] = member
        self.bundles, self.members, self._folders = bundles, members, folders


KNOWN = PerStorage(Known)

"""Waiting for a storage that is away for a while: a server that restarts or refuses, a mount that is stale.

This is the one place where the storage's failures are retried. What waits says so once a process, and again when the
storage is back.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, TypeVar

from lth_ray.store.errors import StorageAway
from lth_ray.store.files import Data, Entry, Files
from lth_ray.store.per_storage import PerStorage

PATIENCE_S = 300.0  # under what workers wait for one another, so that a team of them is not broken by it
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 10.0
T = TypeVar("T")


@dataclass(frozen=True)
class PatientFiles:
    """Files whose storage is given `patience_s` seconds to come back, whatever is asked of it; then StorageAway stands.

    Once it has, this process asks only once at a time until an answer comes: a run ends then, and does not wait anew
    for each of its jobs.
    """

    files: Files
    patience_s: float = PATIENCE_S

    @property
    def uri(self) -> str:
        return self.files.uri

    def put(self, path: str, data: Data) -> None:
        """Write or replace a file, atomically and durably."""
        self._patiently(lambda: self.files.put(path, data))

    def put_if_absent(self, path: str, data: bytes) -> bool:
        """Write unless the path is there.

        Returns False also where an earlier attempt of this very call was stored and its answer lost: read
        what is there.
        """
        return self._patiently(lambda: self.files.put_if_absent(path, data))

    def get(self, path: str) -> bytes:
        """Return a file's bytes. Raise MissingFile."""
        return self._patiently(lambda: self.files.get(path))

    def read(self, path: str, reader: Callable[[BinaryIO], T]) -> T:
        """Return what `reader` makes of a file, from its beginning each time. Raise MissingFile."""
        return self._patiently(lambda: self.files.read(path, reader))

    def part(self, path: str, begin: int, size: int) -> bytes:
        """Return some of a file's bytes. Raise MissingFile."""
        return self._patiently(lambda: self.files.part(path, begin, size))

    def exists(self, path: str) -> bool:
        """Return whether there is a file."""
        return self._patiently(lambda: self.files.exists(path))

    def entries(self, folder: str) -> Iterator[Entry]:
        """Yield every file below the folder, listed whole before the first is given."""
        yield from self._patiently(lambda: list(self.files.entries(folder)))

    def delete(self, *paths: str) -> None:
        """Remove files; a path that is not there is fine."""
        self._patiently(lambda: self.files.delete(*paths))

    def move(self, path: str, to: str) -> None:
        """Move a file, in place of what is at `to`; a path that is not there is fine."""
        self._patiently(lambda: self.files.move(path, to))

    def _patiently(self, action: Callable[[], T]) -> T:
        outage, began, wait_s = OUTAGES.of(self.uri), time.monotonic(), FIRST_WAIT_S
        while True:
            try:
                done = action()
            except StorageAway as error:
                waited_s = time.monotonic() - began
                if outage.given_up or waited_s >= self.patience_s:
                    outage.given_up = True
                    raise StorageAway(
                        f"{error}; it was waited for, {self.patience_s:.0f} s: run the same command again when the "
                        "storage is back, and it goes on from what is there"
                    ) from error
                outage.begins(f"{self.uri} is away ({error}): waiting for it, {self.patience_s:.0f} s at most")
                time.sleep(min(wait_s, max(0.0, self.patience_s - waited_s)))
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
            else:
                outage.ends(f"{self.uri} is back")
                return done


class Outage:
    """The outage of a storage, as far as this process knows; it is told of once, whichever thread meets it."""

    def __init__(self) -> None:
        self.since: float | None = None
        self.given_up = False
        self._lock = threading.Lock()

    def begins(self, said: str) -> None:
        """Tell of it, unless that was done."""
        with self._lock:
            if self.since is not None:
                return
            self.since = time.monotonic()
        self._say(said)

    def ends(self, said: str) -> None:
        """Tell that it is over, where it was told of."""
        self.given_up = False
        if self.since is None:
            return
        with self._lock:
            since, self.since = self.since, None
        if since is not None:
            self._say(f"{said} after {time.monotonic() - since:.0f} s")

    def _say(self, said: str) -> None:
        """Warn, with the time: Python shows a warning of the same words only once."""
        warnings.warn(f"{time.strftime('%H:%M:%S')} storage {said}", stacklevel=2)


OUTAGES = PerStorage(Outage)

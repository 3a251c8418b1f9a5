"""Turns at making runs in a study's record: one driver at a time has one, and knows whether another had one since its
first.

Who had none beside it has made every run that is there since it read them: it need not look for each, which takes
MLflow longer the more runs there are.
"""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from lth_ray.store import DamagedFile, StorageAway, StorageError, Store, locked

LAST = "recorder.json"  # of a study: who had the last turn


@dataclass(frozen=True)
class Turn:
    """A turn.

    surely: tells whether it is still ours; a process may have been stopped for so long that another took the next.
    alone: nobody else had one since the first of ours.
    """

    surely: Callable[[], bool]
    alone: bool


class Turns:
    """The turns of one driver. To be asked for the first before the record is read."""

    def __init__(self, store: Store, study: str) -> None:
        self._store, self._study, self._own = store, study, uuid.uuid4().hex
        self._alone: bool | None = None  # before the first

    @contextmanager
    def next(self) -> Iterator[Turn]:
        """Wait for the next one, and have it for as long as the block runs."""
        with ExitStack() as held:
            try:
                surely = held.enter_context(locked(self._store, f"studies/{self._study}/locks/runs"))
                self._take()
            except StorageAway:
                raise
            except StorageError:  # it can only be read: no study runs there
                surely, self._alone = _surely, False
            yield Turn(surely, bool(self._alone))

    def _take(self) -> None:
        if self._last() != self._own:
            self._alone = self._alone is None
            self._store.put_study(self._study, LAST, {"driver": self._own})

    def _last(self) -> str | None:
        try:
            record = self._store.study(self._study, LAST)
        except DamagedFile:
            return None
        return None if record is None else str(record.get("driver"))


def _surely() -> bool:
    return True

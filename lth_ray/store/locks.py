"""Locks in the storage, for moments in which two runs would do the same thing twice."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from lth_ray.store.errors import MissingFile
from lth_ray.store.store import Store

PATIENCE_S = 20.0
POLL_S = 0.1


@contextmanager
def locked(store: Store, path: str, patience_s: float = PATIENCE_S) -> Iterator[Callable[[], bool]]:
    """Hold the lock `path` for as long as the block runs; give a function that tells whether it is surely
    still held.

    The lock is a file, PATH.0, which exactly one can make. A holder that died leaves it behind: who has seen the same
    one for patience_s, by a clock of its own, takes the next turn, PATH.1, and so on. So a block that lasts longer may
    no longer be alone: it asks before it does what must not be done twice.
    """
    own, lost = uuid.uuid4().hex.encode(), dict[str, bytes]()
    turn, seen, since = 0, b"", time.monotonic()
    while True:
        now, name = time.monotonic(), f"{path}.{turn}"
        if store.put_if_absent(name, own) or (holder := _read(store, name)) == own:
            break
        if holder is None:  # let go of: all turns begin anew
            turn, seen, since = 0, b"", now
            lost.clear()
        elif holder != seen:
            seen, since = holder, now
        elif now - since > patience_s:
            lost[name] = holder
            turn, seen, since = turn + 1, b"", now
        if holder is not None:
            time.sleep(POLL_S)
    held_since = time.monotonic()
    try:
        yield lambda: time.monotonic() - held_since < patience_s / 2
    finally:
        for name, holder in {**lost, f"{path}.{turn}": own}.items():  # the first turn first: who comes now begins there
            if _read(store, name) == holder:
                store.delete(name)


def _read(store: Store, path: str) -> bytes | None:
    with suppress(MissingFile):
        return store.get(path)
    return None

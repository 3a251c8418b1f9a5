"""The lock in a storage: one at a time, and nobody waits for ever for one that died."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from lth_ray.store import Store, locked


def test_one_at_a_time(store: Store) -> None:
    """Four look whether it is made and make it where it is not: it is made once in each of five rounds."""
    made: list[int] = []

    def look_and_make(number: int) -> None:
        with locked(store, f"locks/{number}") as surely:
            is_there = number in made
            time.sleep(0.01)
            if not is_there:
                made.append(number)
            assert surely()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(look_and_make, [number for number in range(5) for _ in range(4)]))
    assert made == [0, 1, 2, 3, 4]
    assert store.list() == {}


def test_the_lock_of_one_that_died_is_passed_over(local_store: Store, fork: Callable[..., int]) -> None:
    def die() -> None:
        with locked(local_store, "locks/a"):
            local_store.put("masks/a", b"x" * 100)

    assert fork(die, kill_at="mid-write:2") == -9  # the lock's own file is the first
    assert list(local_store.list()) == ["locks/a.0"]
    began, inside = time.monotonic(), threading.Semaphore(1)

    def take(_: int) -> None:
        with locked(local_store, "locks/a", patience_s=0.4):
            assert inside.acquire(blocking=False)
            time.sleep(0.02)
            inside.release()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(take, range(3)))
    assert time.monotonic() - began > 0.4
    assert local_store.list() == {}


def test_a_holder_that_was_stopped_knows_that_it_may_not_be_alone(
    local_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with locked(local_store, "locks/a", patience_s=2.0) as surely:
        assert surely()
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now + 1.1)
        assert not surely()
        with ThreadPoolExecutor(1) as pool:
            monkeypatch.undo()
            other = locked(local_store, "locks/a", patience_s=0.1)
            assert pool.submit(other.__enter__).result(10)()
    assert list(local_store.list()) == ["locks/a.1"]  # one's own goes, the other's stays
    other.__exit__(None, None, None)
    assert local_store.list() == {}

"""Which runs count as live."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lth_ray.store import StorageError, Store, live, live_runs

RUNNER = """
import sys, time
from lth_ray.store import Store, live
with live(Store.open(sys.argv[1]), "s", "child"):
    print("live", flush=True)
    time.sleep(60)
"""


def mark(store: Store, host: str, heartbeat: float) -> None:
    run = {"study": "s", "id": "r", "host": host, "pid": os.getpid(), "started": 0.0, "heartbeat": heartbeat}
    store.put_study("s", "live/r.json", run)


def test_a_run_is_live_inside_its_block(store: Store) -> None:
    with live(store, "s", "a") as run, live(store, "t", "b"):
        assert live_runs(store, "s") == [run]
        assert run.pid == os.getpid()
        assert {found.study for found in live_runs(store)} == {"s", "t"}
    assert live_runs(store) == []
    assert store.list() == {}


def test_a_killed_run_is_not_live(local_store: Store) -> None:
    child = subprocess.Popen([sys.executable, "-c", RUNNER, local_store.uri], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "live\n"
    assert [run.pid for run in live_runs(local_store, "s")] == [child.pid]
    child.kill()
    deadline = time.monotonic() + 10
    while live_runs(local_store) and time.monotonic() < deadline:  # a zombie, not waited for yet, is dead as well
        time.sleep(0.01)
    assert live_runs(local_store) == []
    assert local_store.list("studies/s/live")
    child.wait()


@pytest.mark.parametrize(("silent_s", "expected"), [(0, 1), (100, 1), (130, 0)])
def test_a_run_elsewhere_is_live_while_heard_of(local_store: Store, silent_s: float, expected: int) -> None:
    mark(local_store, "elsewhere", time.time() - silent_s)
    assert len(live_runs(local_store)) == expected


def test_a_reused_pid_is_not_the_run(local_store: Store) -> None:
    with live(local_store, "s", "a") as run:
        mark(local_store, run.host, time.time())  # this pid, but another start
        assert live_runs(local_store) == [run]


def test_the_marker_is_renewed(local_store: Store) -> None:
    def heartbeat() -> float:
        (run,) = live_runs(local_store)
        return run.heartbeat

    with live(local_store, "s", "a", beat_s=0.01) as run:
        deadline = time.monotonic() + 10
        while heartbeat() == run.heartbeat and time.monotonic() < deadline:
            time.sleep(0.01)
        assert heartbeat() > run.heartbeat


def test_a_failing_renewal_is_a_warning(local_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = threading.Semaphore(0)

    def fails(*_: object) -> None:
        tried.release()
        raise StorageError("the disk is full")

    expected = pytest.warns(UserWarning, match="the live marker was not renewed: the disk is full")
    with expected, live(local_store, "s", "a", beat_s=0.01) as run:
        monkeypatch.setattr(Store, "put_study", fails)
        assert all(tried.acquire(timeout=10) for _ in range(2))  # it goes on trying
        assert live_runs(local_store) == [run]
    assert live_runs(local_store) == []


def test_damaged_markers_are_passed_over(local_store: Store) -> None:
    local_store.put("studies/s/live/x.json", b"{")
    assert live_runs(local_store) == []
    assert Path(local_store.uri, "studies/s/live/x.json").exists()

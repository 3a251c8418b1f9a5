"""Runs that count as live."""

import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest

from lth_ray.store import LiveRun, StorageError, Store, live, live_runs

store_live = sys.modules[live.__module__]

RUNNER = """
import sys, time
from lth_ray.store import Store, live
with live(Store.open(sys.argv[1]), "s", "child"):
    print("live", flush=True)
    time.sleep(60)
"""


MARKER = "studies/s/live/r.json"


def mark(store: Store, kernel: str, silent_s: float = 0.0, pid: int = 1, heartbeat: float = 0.0) -> LiveRun:
    """A marker that was renewed silent_s ago by the clock of the storage."""
    run = LiveRun("s", "r", socket.gethostname(), pid, 0.0, heartbeat, kernel)
    store.put_study("s", "live/r.json", asdict(run))
    moment = time.time() - silent_s
    os.utime(Path(store.uri, MARKER), (moment, moment))
    return run


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
@pytest.mark.parametrize("skew_s", [-180.0, 0.0, 180.0, 86_400.0])
def test_a_run_elsewhere_is_live_while_heard_of(
    local_store: Store, monkeypatch: pytest.MonkeyPatch, silent_s: float, expected: int, skew_s: float
) -> None:
    """Whatever the clocks of its host and of the one who asks: the storage's own counts. skew_s: between the two."""
    mark(local_store, "elsewhere", silent_s, heartbeat=time.time() - silent_s + skew_s)
    here = time.time() - skew_s
    monkeypatch.setattr(time, "time", lambda: here)
    assert len(live_runs(local_store)) == expected


@pytest.mark.parametrize("pid", [os.getpid(), 2**22 + 1], ids=["one that lives here", "one of nobody"])
def test_a_pid_of_another_namespace_says_nothing(local_store: Store, pid: int) -> None:
    """Two containers under one host name: whether that PID is some process here does not matter."""
    with live(local_store, "s", "a") as run:
        boot = run.kernel.split("/")[0]
        other = mark(local_store, f"{boot}/pid:[1]", silent_s=60, pid=pid)
        assert set(live_runs(local_store)) == {run, other}


def test_a_marker_without_a_namespace_is_judged_by_its_heartbeat(local_store: Store) -> None:
    old = {"study": "s", "id": "r", "host": socket.gethostname(), "pid": 2**22 + 1, "started": 0.0, "heartbeat": 0.0}
    local_store.put_study("s", "live/r.json", old)
    assert [run.pid for run in live_runs(local_store)] == [2**22 + 1]


def test_a_reused_pid_is_not_the_run(local_store: Store) -> None:
    with live(local_store, "s", "a") as run:
        mark(local_store, run.kernel, pid=run.pid)  # this pid, but another start
        assert live_runs(local_store) == [run]


@pytest.mark.parametrize("beats", [True, False])
def test_a_silent_run_is_watched_before_anything_hangs_on_it(
    local_store: Store, monkeypatch: pytest.MonkeyPatch, beats: bool
) -> None:
    """On a mount that stamps files with the writer's clock, three minutes behind, a run that beats looks silent."""
    monkeypatch.setattr(store_live, "WATCH_S", 0.3)
    monkeypatch.setattr(store_live, "WATCH_POLL_S", 0.05)
    run = mark(local_store, "elsewhere", silent_s=180)
    beat = threading.Timer(0.1, lambda: mark(local_store, "elsewhere", silent_s=180, heartbeat=30.0))
    if beats:
        beat.start()
    assert live_runs(local_store, watch=True) == ([run] if beats else [])
    assert local_store.exists(MARKER) == beats


def test_the_marker_is_renewed(local_store: Store) -> None:
    def heartbeat() -> float:
        (run,) = live_runs(local_store)
        return run.heartbeat

    with live(local_store, "s", "a", beat_s=0.01) as run:
        deadline = time.monotonic() + 10
        while heartbeat() == run.heartbeat and time.monotonic() < deadline:
            time.sleep(0.01)
        assert heartbeat() > run.heartbeat


def test_a_run_stays_live_where_the_clock_of_its_host_is_set(
    local_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system tells when a process started by the clock as it is now."""
    with live(local_store, "s", "a", beat_s=0.01) as run:
        booted = psutil._pslinux.boot_time()
        monkeypatch.setattr(psutil._pslinux, "boot_time", lambda: booted + 3600)
        deadline = time.monotonic() + 10
        while not live_runs(local_store) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert [found.pid for found in live_runs(local_store)] == [run.pid]


def test_a_failing_renewal_is_a_warning(local_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = threading.Semaphore(0)

    def fails(*_: object) -> None:
        tried.release()
        raise StorageError("the disk is full")

    expected = pytest.warns(UserWarning, match="the live marker was not renewed: the disk is full")
    with expected, live(local_store, "s", "a", beat_s=0.01) as run:
        monkeypatch.setattr(Store, "put_study", fails)
        assert all(tried.acquire(timeout=10) for _ in range(2))  # it goes on trying
        assert [found.id for found in live_runs(local_store)] == [run.id]
    assert live_runs(local_store) == []


def test_damaged_markers_are_passed_over(local_store: Store) -> None:
    local_store.put("studies/s/live/x.json", b"{")
    assert live_runs(local_store) == []
    assert Path(local_store.uri, "studies/s/live/x.json").exists()

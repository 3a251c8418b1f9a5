"""Claims of a run on another host, simulated by namespaces: its name, its PIDs and its clock say nothing here."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lth_ray.store import LiveRun, Store, live
from lth_ray.store import live_runs as runs_at_work
from lth_ray.store.claims import Claims
from lth_ray.store.live import SILENT_S, silences

HOST = "another-host"
ELSEWHERE = "unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"
KEY = "segment-" + "a" * 32 + "-100"
DAY_S = 86400.0
RUN = f"""
import socket, sys, time
socket.sethostname({HOST!r})
ahead_s, now = float(sys.argv[2]), time.time
time.time = lambda: now() + ahead_s
from lth_ray.store import Store, live
from lth_ray.store.claims import Claims
store = Store.open(sys.argv[1])
with live(store, "s", "there", beat_s=0.2) as run:
    assert Claims(store, run).take({KEY!r}, "k0/seed0")
    print("claimed", flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module", autouse=True)
def namespaces() -> None:
    try:
        made = subprocess.run([*ELSEWHERE, "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if made.returncode:
        pytest.skip(f"no namespaces can be made here: {made.stderr.strip()}")


@contextmanager
def run_elsewhere(folder: Path, ahead_s: float) -> Iterator["subprocess.Popen[str]"]:
    """A run on a host whose clock is so far ahead, once it has claimed its work."""
    command = [*ELSEWHERE, sys.executable, "-c", RUN, str(folder), str(ahead_s)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "claimed\n"
        yield process
    finally:
        process.kill()
        process.wait()


def marker(folder: Path) -> Path:
    return folder / "studies" / "s" / "live" / "there.json"


@pytest.mark.parametrize("ahead_s", [DAY_S, *(pytest.param(one, marks=pytest.mark.slow) for one in (0.0, -DAY_S))])
def test_a_run_elsewhere_has_its_work_until_it_has_been_silent_for_long(tmp_path: Path, ahead_s: float) -> None:
    store = Store.open(str(tmp_path))
    with live(store, "s", "here") as here, run_elsewhere(tmp_path, ahead_s) as process:
        claims = Claims(store, here)
        assert not claims.take(KEY, "k0/seed0")
        (claim, there) = claims.of_others()[KEY]
        assert (claim.what, there.host, there.is_here) == ("k0/seed0", HOST, False)
        assert there.pid == 1  # which is alive here, as another process
        old = marker(tmp_path).stat().st_mtime
        os.utime(marker(tmp_path), (old - 2 * SILENT_S,) * 2)
        beaten_by = time.monotonic() + 20
        while marker(tmp_path).stat().st_mtime < old:  # its next beat: it lives, whatever its clock says
            assert time.monotonic() < beaten_by
            time.sleep(0.05)
        assert not claims.take(KEY, "k0/seed0")

        process.kill()
        process.wait()
        time.sleep(0.5)
        assert not claims.take(KEY, "k0/seed0")  # nobody here can know yet
        stamp = marker(tmp_path).stat().st_mtime - SILENT_S
        os.utime(marker(tmp_path), (stamp, stamp))
        assert claims.of_others() == {}
        assert claims.take(KEY, "k0/seed0")
        claims.give_all_back()
    assert store.list("claims") == {}


@pytest.mark.slow
def test_of_a_run_elsewhere_no_process_here_is_asked(tmp_path: Path) -> None:
    """Its PID is that of another process here, and its marker alone says whether it is live."""
    store = Store.open(str(tmp_path))
    with run_elsewhere(tmp_path, 0.0):
        ((there, silent_s),) = silences(store, "s")
    assert silent_s < SILENT_S
    assert there.is_live(silent_s)
    assert not there.is_live(SILENT_S)
    as_if_here = LiveRun(**{**vars(there), "kernel": here_kernel(store)})
    assert not as_if_here.is_live(0.0)  # process 1 of this host began at another time
    assert [run.id for run in runs_at_work(store, "s")] == ["there"]


def here_kernel(store: Store) -> str:
    with live(store, "other", "here") as here:
        return here.kernel

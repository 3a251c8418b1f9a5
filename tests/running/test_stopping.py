"""The end of a run: its processes and its folder go, whether it is told to end, told twice, or killed."""

import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from lth_ray.running.machine.home import private_token
from lth_ray.running.machine.reaper import started_with
from lth_ray.running.machine.signals import STOPPING, Signals
from lth_ray.running.watch import Interrupted

# It starts a process that no signal but SIGKILL ends, in a session of its own as Ray's are, and hangs as it is told to.
SCRIPT = """
import signal, subprocess, sys, time
from lth_ray.running.machine.scratch import Scratch
from lth_ray.running.machine.signals import Signals

STUBBORN = "import signal, time; [signal.signal(n, signal.SIG_IGN) for n in (2, 15)]; time.sleep(300)"

def say(text):
    print(text, flush=True)

with Scratch() as scratch, Signals(say, scratch.end):
    folder = scratch.folder
    (folder / "log").write_text("what Ray wrote")
    child = subprocess.Popen([sys.executable, "-S", "-c", STUBBORN], start_new_session=True)
    say(f"started {folder}")
    try:
        time.sleep(300)
    finally:
        time.sleep(float(sys.argv[1]))  # what putting everything down takes
"""


@dataclass
class Run:
    process: "subprocess.Popen[str]"
    folder: Path
    log: Path

    def told(self) -> str:
        return self.log.read_text()

    def gone(self) -> bool:
        return not self.folder.exists() and not started_with(str(self.folder))


def until(holds: Callable[[], bool], timeout_s: float) -> float:
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < timeout_s
        time.sleep(0.02)
    return time.monotonic() - began


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[float], Run]]:
    runs: list[Run] = []

    def start(takes_s: float) -> Run:
        log = tmp_path / "log"
        with open(log, "w") as output:
            process = subprocess.Popen(
                [sys.executable, "-c", SCRIPT, str(takes_s)], stdout=output, stderr=output, text=True,
                env={**os.environ, "TMPDIR": str(tmp_path)},
            )  # fmt: skip
        until(lambda: "started" in log.read_text(), 60)
        runs.append(Run(process, Path(log.read_text().split()[1]), log))
        return runs[-1]

    yield start
    for run in runs:
        run.process.kill()
        for process in started_with(str(run.folder)):
            process.kill()


def test_a_first_signal_is_answered_and_everything_is_put_down(start: Callable[[float], Run]) -> None:
    run = start(0.1)
    assert stat.S_IMODE(run.folder.stat().st_mode) == 0o700, "what Ray writes there may hold the environment"
    assert [process.name() for process in started_with(str(run.folder))].count("python") or started_with(
        str(run.folder)
    ), "the child is known by its environment"
    run.process.send_signal(signal.SIGTERM)
    assert until(lambda: "stopping: trainings have 20 s" in run.told(), 5) < 1
    assert run.process.wait(20) == 128 + signal.SIGTERM
    assert run.gone()
    assert "Traceback" not in run.told()


def test_what_is_being_done_is_said_before_it_is_done() -> None:
    """Else what is said would meet the end of the live view, and leave a part of it on the screen."""
    told: list[str] = []

    def say(text: str) -> None:
        time.sleep(0.3)
        told.append(text)

    def interrupted() -> None:
        with Signals(say, lambda: None):
            try:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(20)
            finally:
                assert told == [STOPPING]

    with pytest.raises(Interrupted) as stopped:
        interrupted()
    assert stopped.value.code == 128 + signal.SIGINT


def test_a_second_signal_ends_it_at_once_and_nothing_outlives_it(start: Callable[[float], Run]) -> None:
    run = start(200)
    run.process.send_signal(signal.SIGINT)
    until(lambda: "stopping" in run.told(), 5)
    assert run.process.poll() is None
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(10) == 128 + signal.SIGINT
    assert run.gone()
    assert "ended at once" in run.told()


def test_what_a_killed_run_has_started_is_ended_too(start: Callable[[float], Run]) -> None:
    run = start(0)
    assert any(process.ppid() == run.process.pid for process in psutil.process_iter() if process.pid > 1)
    run.process.kill()
    run.process.wait()
    assert until(run.gone, 10) < 10


def test_the_token_is_its_user_s_alone(tmp_path: Path) -> None:
    made, there = tmp_path / "new" / "auth_token", tmp_path / "auth_token"
    private_token(made)
    assert re.fullmatch(r"[0-9a-f]{64}", made.read_text())
    there.write_text("as it was")
    there.chmod(0o644)
    private_token(there)
    assert there.read_text() == "as it was"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (made, there)] == [0o600, 0o600]

"""Real processes are killed at named places and at random times; a rerun gives the same tickets."""

import random
import signal
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.running.conftest import EVERY, Runner

AGENT_PORT = 52365  # by default
CPUS = 2  # trials at a time, each of which may lose what it trained since its last checkpoint
slow = pytest.mark.slow
POINTS = [
    "mid-step:130",
    pytest.param("mid-write:8", marks=slow),
    pytest.param("checkpointed:3", marks=slow),
    pytest.param("published:2", marks=slow),
    pytest.param("unreported:2", marks=slow),
]


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def listening(pid: int) -> set[int]:
    """The TCP ports on which a process listens."""
    with suppress(psutil.Error):
        found = psutil.Process(pid).net_connections("tcp")
        return {one.laddr.port for one in found if one.status == psutil.CONN_LISTEN}
    return set()


def finish(runner: Runner, undisturbed: dict[str, str]) -> None:
    """Reruns; nothing may be missing, different, or trained twice beyond the last checkpoint."""
    assert runner.run() == 0, runner.output[-3000:]
    assert runner.contents() == undisturbed
    assert runner.trained_twice <= CPUS * EVERY


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_a_killed_trial_actor_is_replaced_within_the_run(
    point: str, runner: Runner, undisturbed: dict[str, str]
) -> None:
    once = runner.folder / "killed"
    runner.env = {"LTH_RAY_KILL_AT": point, "LTH_RAY_KILL_ONCE": str(once), "LTH_RAY_KILL_AMONG": "ray::"}
    assert runner.run() == 0, runner.output[-3000:]
    assert once.exists(), "nothing was killed"
    assert runner.contents() == undisturbed
    assert runner.trained_twice <= EVERY


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_driver_is_taken_up_by_a_rerun(point: str, runner: Runner, undisturbed: dict[str, str]) -> None:
    pid_file, once = runner.folder / "pid", runner.folder / "killed"
    env = {"LTH_RAY_KILL_AT": point, "LTH_RAY_KILL_ONCE": str(once), "LTH_RAY_KILL_PID_FILE": str(pid_file)}
    process = runner.start(**env)
    pid_file.write_text(str(process.pid))
    assert process.wait(timeout=240) == -signal.SIGKILL, runner.output[-3000:]
    runner.wait_for_orphans()
    finish(runner, undisturbed)


@slow
def test_a_rerun_tolerates_an_orphan_that_still_writes(runner: Runner, undisturbed: dict[str, str]) -> None:
    process = runner.start()
    runner.wait_for(lambda: runner.steps.total() > 50)
    process.kill()
    process.wait()
    assert runner.run() == 0, runner.output[-3000:]  # at once, whatever is still alive of the first
    assert runner.contents() == undisturbed


@slow
@pytest.mark.parametrize("victim", ["driver", "actor"])
def test_killed_at_random_times(victim: str, runner: Runner, undisturbed: dict[str, str]) -> None:
    """10 kills each, at steps drawn under a fixed seed, over several lives of one storage."""
    draw = random.Random(f"kill the {victim}")
    kills = 0
    while kills < 10:
        runner_env = {"LTH_RAY_KILL_AT": f"mid-step:{draw.randint(1, 90)}"}
        runner_env["LTH_RAY_KILL_ONCE"] = str(runner.folder / f"killed-{kills}")
        before = runner.trained_twice
        if victim == "driver":
            pid_file = runner.folder / "pid"
            process = runner.start(**runner_env, LTH_RAY_KILL_PID_FILE=str(pid_file))
            pid_file.write_text(str(process.pid))
            process.wait(timeout=240)
            runner.wait_for_orphans()
        else:
            assert runner.run(**runner_env) == 0, runner.output[-3000:]
        kills += 1
        assert runner.trained_twice - before <= CPUS * EVERY
        if not Path(runner_env["LTH_RAY_KILL_ONCE"]).exists():  # all was trained before that step: start afresh
            assert runner.contents() == undisturbed
            runner.folder = runner.folder / "again"
            runner.folder.mkdir()
    finish(runner, undisturbed)


@slow
def test_ctrl_c_ends_cleanly_and_says_how_to_go_on(runner: Runner, undisturbed: dict[str, str]) -> None:
    process = runner.start()
    runner.wait_for(lambda: runner.steps.total() > 20)
    ports = {port for pid in family(process.pid) for port in listening(pid)}
    assert ports, "Ray listens"
    assert AGENT_PORT not in ports, "that of a head's agent, started beside the study"
    process.send_signal(signal.SIGTERM)
    runner.wait_for(
        lambda: "stopping: trainings have 20 s to write their last checkpoints" in runner.output, timeout_s=5
    )
    assert process.wait(timeout=240) == 128 + signal.SIGTERM, runner.output[-3000:]
    assert "goes on from there" in runner.output
    assert "Traceback" not in runner.output
    runner.wait_for_orphans()
    finish(runner, undisturbed)

"""Services that a study leans on, taken away while it runs: the tracking server, and the storage."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lth_ray.store import Store
from tests.mlflow_server import Server, free_port
from tests.ray.conftest import EVERY, Expected, complete
from tests.ray.nodes import COMMANDS, SLOW_SCRIPT
from tests.running.conftest import Runner

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

TWO = "--workers", "2"


@pytest.fixture
def slow_runner(runner: Runner) -> Runner:
    runner.source = SLOW_SCRIPT
    return runner


def begun(runner: Runner, steps: int = 100) -> None:
    runner.wait_for(lambda: runner.steps.total() > steps, timeout_s=200)


# The tracking server ----------------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path, free_port())
    server.start()
    yield server
    server.end()


@pytest.mark.parametrize("back", ["within the run", "after the run"])
def test_a_tracking_server_that_is_down_for_a_while(
    back: str, server: Server, slow_runner: Runner, short_of_one: Expected
) -> None:
    """It goes while the record is being written, for the first round is done then."""
    runner = slow_runner
    runner.wait_for(server.answers)
    within = back == "within the run"
    process = runner.start("--tracking-uri", server.uri, LTH_PAUSE_S="0.02" if within else "0.005")
    begun(runner, 320)
    server.end()
    begun(runner, 400)
    if within:
        server.start()
    assert process.wait(240) == 0, runner.output[-3000:]
    assert runner.output.count("cannot be written to") <= 1
    assert "Traceback" not in runner.output
    if not within:
        assert "`lth-ray replay` ships them" in runner.output
        server.start()
        runner.wait_for(server.answers)
        command = "replay", "small", "--storage", str(runner.storage), "--tracking-uri", server.uri
        done = subprocess.run([str(COMMANDS / "lth-ray"), *command], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        print(done.stdout.strip())
    complete(runner, short_of_one, server.database)


# The storage ------------------------------------------------------------------------------------------------------


@contextmanager
def a_mount(folder: Path) -> Iterator[None]:
    """A file system of its own at `folder`."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root may mount a file system, and this is not root")
    folder.mkdir()
    tried = subprocess.run(["mount", "-t", "tmpfs", "none", folder], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"nothing can be mounted here: {tried.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=False)


def remount(folder: Path, how: str) -> bool:
    """False while a file is being written there, which only the next attempt may find closed."""
    return subprocess.run(["mount", "-o", f"remount,{how}", folder], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("flags", [(), TWO], ids=["alone", "two workers"])
def test_a_storage_that_becomes_read_only(
    flags: tuple[str, ...], slow_runner: Runner, short_of_two: Expected, short_of_one: Expected
) -> None:
    """The run ends with one clear error; once the storage can be written again, the same command goes on."""
    runner = slow_runner
    database = runner.folder / "mlflow.db"  # elsewhere: one that is open for writing keeps the file system writable
    flags = (*flags, "--tracking-uri", f"sqlite:///{database}", "--checkpoint-every-steps", str(EVERY))
    with a_mount(runner.storage):
        process = runner.start(*flags, "--checkpoint-every-s", "3600")
        begun(runner)
        runner.wait_for(lambda: remount(runner.storage, "ro"), timeout_s=30)
        assert process.wait(120) in (1, 2), runner.output[-3000:]
        said = runner.output
        assert f"cannot access {runner.storage}" in said
        assert "the file system is read-only: choose another --storage" in said
        assert said.count("error:") == 1, said
        assert "Traceback" not in said
        runner.wait_for_orphans()
        steps = runner.steps.total()
        assert remount(runner.storage, "rw")
        assert runner.run(*flags, "--checkpoint-every-s", "3600") == 0, runner.output[-3000:]
        complete(runner, short_of_two if TWO[0] in flags else short_of_one, database)
        assert runner.trained_twice <= 2 * EVERY
        print(f"it ended after {steps} steps; {runner.trained_twice} were trained twice")
        assert not list(Store.open(str(runner.storage)).list("checkpoints"))

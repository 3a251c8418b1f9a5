"""Hangs: what a run waits for is taken away, its raylet, its folder, its workers' room.

It goes on, or ends and says why. Every cluster has exactly the room that is asked for.

Every cluster has exactly the room that is asked for.
"""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from lth_ray.running.machine.reaper import started_with
from lth_ray.running.watch import HALTED
from tests.ray.conftest import Expected, complete
from tests.ray.nodes import SLOW_SCRIPT, OnNodes, a_cluster
from tests.running.conftest import Runner

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

OFTEN = "--checkpoint-every-steps", "40", "--checkpoint-every-s", "3600"
LOST = "Ray was lost: its raylet has ended with -9 (the kernel kills it where memory runs out)"
GOES_ON_S, ENDS_S = 240.0, 120.0  # starting processes takes minutes on a machine that is busy


@pytest.fixture
def exact(tmp_path: Path) -> Iterator[OnNodes]:
    """Two cores beside the head, on nodes of their own."""
    with a_cluster(tmp_path, 2) as runner:
        yield runner


@pytest.fixture
def alone(runner: Runner) -> Runner:
    runner.source = SLOW_SCRIPT
    return runner


def until_begun(runner: Runner, steps: int = 100) -> None:
    runner.wait_for(lambda: runner.steps.total() > steps, timeout_s=240)


def goes_on(runner: Runner, what: str) -> None:
    began, before = time.monotonic(), runner.steps.total()
    runner.wait_for(lambda: runner.steps.total() > before + 3, timeout_s=GOES_ON_S)
    print(f"{what}: {time.monotonic() - began:.1f} s to the next step")


@pytest.mark.parametrize("victim", ["ray::TrainController", "ray::ImplicitFunc"])
def test_a_lost_process_gives_back_the_room_of_its_workers(victim: str, exact: OnNodes, short_of_two: Expected) -> None:
    process = exact.start("--workers", "2", *OFTEN)
    until_begun(exact)
    (lost,) = [found for node in exact.nodes.up for found in node.processes(victim)]
    lost.kill()
    time.sleep(1)
    goes_on(exact, f"a killed {victim}")
    assert process.wait(300) == 0, exact.output[-3000:]
    complete(exact, short_of_two)


GPUS = """
import os, signal, time
import ray
from ray.util.placement_group import placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy
from lth_ray.running.machine import rooms
from lth_ray.running.machine.unpublished import any_port

with any_port():
    ray.init(address="local", num_cpus=2, num_gpus=2, include_dashboard=False, object_store_memory=10**8)

@ray.remote(num_cpus=0)
class Worker:
    def ready(self):
        return True

@ray.remote(num_cpus=0)
class Controller:
    def start(self):
        self.room = placement_group([{"CPU": 1, "GPU": 1}] * 2)
        strategy = PlacementGroupSchedulingStrategy(self.room)
        self.workers = [Worker.options(num_gpus=1, scheduling_strategy=strategy).remote() for _ in range(2)]
        return ray.get([worker.ready.remote() for worker in self.workers]) and os.getpid()

first, second = Controller.remote(), Controller.remote()
os.kill(ray.get(first.start.remote()), signal.SIGKILL)
again = second.start.remote()
assert not ray.wait([again], timeout=15)[0], "the room was free: this test shows nothing"
print("waits for", *rooms.waits(rooms.groups()))
while not rooms.release(rooms.groups()):
    time.sleep(0.5)
ray.get(again, timeout=60)
assert rooms.release(rooms.groups()) == 0
print("released")
"""


def test_so_it_is_with_gpus(tmp_path: Path) -> None:
    """Ray hands GPUs out by their number, whether there are any or not."""
    done = subprocess.run([sys.executable, "-c", GPUS], capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "waits for 2 x {CPU: 1, GPU: 1} since" in done.stdout
    assert "released" in done.stdout


def test_a_trial_without_room_says_so_and_ends_in_time(exact: OnNodes) -> None:
    flags = "--workers", "3", "--concurrent", "1", "--stall-after-min", "1.5", "--set", "train.batch_norm_group=10"
    assert exact.run(*flags) == HALTED, exact.output[-3000:]
    assert "no training has taken a step for" in exact.output
    assert "waits for room: dense/" in exact.output
    assert ": 3 x {CPU: 1} since " in exact.output
    assert "free on 3 nodes: 2 of 2 CPU" in exact.output
    assert "goes on from there" in exact.output


def folder_of(process: "subprocess.Popen[str]") -> str:
    """The scratch folder of a run."""
    commands = (child.cmdline() for child in psutil.Process(process.pid).children())
    return next(command[-1] for command in commands if command[1:2] and command[1].endswith("reaper.py"))


def raylet(folder: str) -> psutil.Process:
    (found,) = (process for process in started_with(folder) if process.name() == "raylet")
    return found


def test_a_raylet_that_is_lost_is_started_again_once(alone: Runner, short_of_one: Expected) -> None:
    process = alone.start(*OFTEN)
    until_begun(alone)
    raylet(folder_of(process)).kill()
    alone.wait_for(lambda: LOST in alone.output)  # a trial takes some steps more before it misses its raylet
    goes_on(alone, "a killed raylet")
    assert process.wait(300) == 0, alone.output[-3000:]
    complete(alone, short_of_one)


def test_a_second_lost_raylet_ends_the_run_with_the_reason(alone: Runner) -> None:
    process = alone.start(*OFTEN)
    until_begun(alone, 50)
    first = folder_of(process)
    raylet(first).kill()
    alone.wait_for(lambda: LOST in alone.output)
    goes_on(alone, "a killed raylet")
    second = folder_of(process)
    assert second != first
    raylet(second).kill()
    assert process.wait(ENDS_S) == HALTED, alone.output[-3000:]
    assert alone.output.count(LOST) == 2
    assert "goes on from there" in alone.output
    assert not started_with(first)
    assert not started_with(second)


def test_a_folder_of_ray_s_that_is_removed(alone: Runner, short_of_one: Expected) -> None:
    process = alone.start(*OFTEN)
    until_begun(alone)
    shutil.rmtree(Path(folder_of(process), "ray"), ignore_errors=True)
    alone.wait_for(lambda: "Ray was lost: its folder was removed" in alone.output, timeout_s=30)
    goes_on(alone, "a removed folder")
    assert process.wait(300) == 0, alone.output[-3000:]
    complete(alone, short_of_one)


def test_a_cluster_whose_head_has_lost_its_raylet_ends_the_run(exact: OnNodes) -> None:
    process = exact.start(*OFTEN)
    until_begun(exact, 50)
    (found,) = exact.nodes.head.processes("raylet") or [
        one for one in exact.nodes.head.processes() if one.name() == "raylet"
    ]
    found.kill()
    began = time.monotonic()
    assert process.wait(ENDS_S) == HALTED, exact.output[-3000:]
    print(f"a head without its raylet: ended after {time.monotonic() - began:.1f} s")
    assert "Ray was lost: " in exact.output
    assert "the same command goes on from" in exact.output

"""On a cluster of several nodes something is killed, again and again: what, and when, is drawn under a seed.

Other faults, and on one machine, are in tests/chaos.
"""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from lth_ray.store.files import TEMPORARY
from tests.ray.conftest import EVERY, Expected, complete
from tests.ray.nodes import OnNodes, a_cluster

KILLS = 3
TWO = "--workers", "2"
OFTEN = "--checkpoint-every-steps", str(EVERY), "--checkpoint-every-s", "3600"
LOOK_S = 0.002

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300 + 90 * KILLS)]


@dataclass(frozen=True)
class Scene:
    """A run on a cluster that may be struck. Each blow says whether it found its victim."""

    runner: OnNodes
    driver: "subprocess.Popen[str]"

    def until(self, steps: int) -> None:
        """Until so many steps are counted, or the driver has ended."""
        self.runner.wait_for(
            lambda: self.runner.steps.total() >= steps or self.driver.poll() is not None, timeout_s=240
        )

    def strike_driver(self) -> bool:
        self.driver.kill()
        self.driver.wait()
        return True

    def strike_trial(self) -> bool:
        return any(self._kill(node.processes("ray::ImplicitFunc")) for node in self.runner.nodes.up)

    def strike_controller(self) -> bool:
        return self._kill(self.runner.nodes.head.processes("ray::TrainController"))

    def strike_worker(self) -> bool:
        return self._kill(self.runner.leading().trainers)

    def strike_writer(self) -> bool:
        """While a file is being written, which is a checkpoint but for the few times that a round ends."""
        leading, folder, ends = self.runner.leading(), self.runner.storage / TEMPORARY, time.monotonic() + 10
        while not os.listdir(folder):
            if time.monotonic() > ends:
                return False
            time.sleep(LOOK_S)
        return self._kill(leading.trainers)

    def strike_node(self) -> bool:
        """Another one takes its place, some seconds later."""
        self.runner.leading().cut_power()
        self.runner.nodes.add()
        return True

    @staticmethod
    def _kill(victims: list[psutil.Process]) -> bool:
        for victim in victims[:1]:
            victim.kill()
        return bool(victims)


Blow = Callable[[Scene], bool]
ALONE: dict[str, Blow] = {
    "driver": Scene.strike_driver, "trial": Scene.strike_trial, "writer": Scene.strike_writer,
    "node": Scene.strike_node,
}  # fmt: skip
TOGETHER: dict[str, Blow] = ALONE | {"controller": Scene.strike_controller, "worker": Scene.strike_worker}


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[OnNodes]:
    with a_cluster(tmp_path, 2) as runner:
        yield runner


def test_killed_at_random_times_alone(runner: OnNodes, short_of_one: Expected) -> None:
    endure(runner, (), ALONE, short_of_one)


def test_killed_at_random_times_with_two_workers(runner: OnNodes, short_of_two: Expected) -> None:
    endure(runner, TWO, TOGETHER, short_of_two)


def endure(runner: OnNodes, flags: tuple[str, ...], blows: dict[str, Blow], undisturbed: Expected) -> None:
    """Runs the study until it is complete, over as many lives of the driver as it takes; and afresh, in a storage of
    its own, until all the blows have fallen."""
    script = drawn([*blows], random.Random(f"chaos {flags}"))
    top, struck, fresh = runner.folder, 0, runner.steps
    while True:
        scene = Scene(runner, runner.start(*flags, *OFTEN))
        before = len(script)
        while script and fall(scene, blows, *script[0]):
            script.pop(0)
        struck += before - len(script)
        code = scene.driver.wait(240)
        if code == -signal.SIGKILL:
            continue
        assert code == 0, runner.output[-3000:]
        complete(runner, undisturbed)
        again = (runner.steps - fresh).total() - len(runner.steps - fresh)
        print(f"complete; {struck} kills cost {again} steps")
        assert again <= struck * 3 * EVERY
        if not script:
            return
        runner.folder, fresh, struck = top / f"with {len(script)} to come", runner.steps, 0
        runner.folder.mkdir()


def drawn(names: list[str], draw: random.Random) -> list[tuple[str, int]]:
    """(blow, after how many more steps); each blow falls once before any falls again."""
    order: list[str] = []
    while len(order) < KILLS:
        order += draw.sample(names, len(names))
    return [(name, draw.randint(EVERY, 10 * EVERY)) for name in order[:KILLS]]


def fall(scene: Scene, blows: dict[str, Blow], name: str, steps: int) -> bool:
    """Strikes once, so many more steps are trained; False where the run ended before."""
    scene.until(scene.runner.steps.total() + steps)
    while scene.driver.poll() is None:
        before, began = scene.runner.steps.total(), time.monotonic()
        if blows[name](scene):
            scene.until(before + 2)
            print(f"{name} after {before} steps: {time.monotonic() - began:.1f} s to the next")
            return True
        time.sleep(0.1)
    return False

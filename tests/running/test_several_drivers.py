"""Several drivers started alike on one storage share a study; what one that is killed was at, the others do."""

import signal
import subprocess
from dataclasses import dataclass

import pytest

from lth_ray import Study
from lth_ray.commands.status import status_of
from lth_ray.store import Store
from tests.running.conftest import EVERY, SCRIPT, Runner, contents, train_here

STEPS, SEEDS = 1000, 6
SOURCE = (
    SCRIPT.replace("steps(100)", f"steps({STEPS})")
    .replace("[steps(0), steps(40)]", "[steps(0)]")
    .replace("seeds=[0]", f"seeds=[*range({SEEDS})]")
    .replace(f"steps({EVERY})", "steps(200)")
)
NAMES = "abc"
TRAININGS = SEEDS * 4  # dense, two rounds, a branch


@dataclass
class Drivers:
    """Runs of one study on one storage, each with a log of its own of the steps that it trains."""

    runner: Runner

    def start(self, name: str) -> "subprocess.Popen[str]":
        log = str(self.runner.folder / f"steps-{name}.log")
        return self.runner.start("--cpus", "1", LTH_RAY_STEP_LOG=log)

    def steps(self, name: str) -> list[str]:
        log = self.runner.folder / f"steps-{name}.log"
        return log.read_text().splitlines() if log.exists() else []


@pytest.mark.slow
def test_three_drivers_share_a_study_and_two_take_over_from_one_that_is_killed(
    runner: Runner, tmp_path_factory: pytest.TempPathFactory
) -> None:
    runner.source = SOURCE
    drivers = Drivers(runner)
    started = {name: drivers.start(name) for name in NAMES}

    def wait_for(steps: int, names: str) -> None:
        runner.wait_for(
            lambda: (
                all(len(drivers.steps(name)) > steps for name in names)
                or any(process.poll() is not None for process in started.values())
            )
        )
        assert all(process.poll() is None for process in started.values()), runner.output[-3000:]

    wait_for(200, NAMES)
    store = Store.open(str(runner.storage))
    words = status_of(store, "small").words
    assert words.count("pid") == 3, runner.output[-3000:]
    assert words.count("(") >= 3, words  # what each is at
    wait_for(STEPS + 200, "b")
    started["b"].send_signal(signal.SIGKILL)
    started["b"].wait()
    assert {name: started[name].wait(timeout=400) for name in "ac"} == {"a": 0, "c": 0}, runner.output[-3000:]

    every = {name: drivers.steps(name) for name in NAMES}
    shares = {name: len(steps) for name, steps in every.items()}
    print(f"steps trained by each: {shares}; of the study: {TRAININGS * STEPS}")
    assert all(share >= STEPS for share in shares.values()), shares
    distinct = {step for steps in every.values() for step in steps}
    assert len(distinct) == TRAININGS * STEPS
    assert sum(shares.values()) - len(distinct) <= 2 * 200, shares  # what the killed one had not kept
    assert not set(every["a"]) & set(every["c"])

    alone = Store.open(str(tmp_path_factory.mktemp("alone")))
    assert runner.contents() == contents(train_here(declared_as(SOURCE), alone), alone)
    assert drivers.start("b").wait(timeout=400) == 0
    assert len(drivers.steps("b")) == shares["b"], "the third finds all done"
    assert store.list("claims") == {}


def declared_as(source: str) -> Study:
    namespace: dict[str, object] = {"__name__": "study"}
    exec(source, namespace)
    study = namespace["study"]
    assert isinstance(study, Study)
    return study

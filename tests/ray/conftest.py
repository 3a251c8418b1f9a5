"""A small study that two workers train together, and what one expects of it without Ray."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lth_ray import Study, data
from lth_ray.lottery import carry_out, make_plan
from lth_ray.running.history import remember
from lth_ray.store import Store
from lth_ray.training import Team
from tests.running.conftest import Runner, a_runner, contents
from tests.training.teams import together

SCRIPT = '''
"""Do two workers train what one would?"""
from lth_ray import Barrier, Data, Model, Prune, Study, Train, main, steps

study = Study(
    "small",
    model=Model("lenet_20_10"),
    data=Data("digits", batch_size=60, validation=200),
    train=Train(steps(300), optimizer="adam", lr=1e-3, evaluate_every=steps(20), batch_norm_group=15),
    prune=Prune(scope="layer", fraction=0.3, rounds=2),
    rewind=[steps(40)],
    seeds=[0],
    branches=[Barrier(points=3, rounds=[2])],
)

if __name__ == "__main__":
    main(study)
'''
EVERY = 20  # steps between evaluations, and so between checkpoints under --checkpoint-every-s 0


def declared() -> Study:
    """The study of SCRIPT."""
    namespace: dict[str, object] = {"__name__": "study"}
    exec(SCRIPT, namespace)
    study = namespace["study"]
    assert isinstance(study, Study)
    return study


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The contents when two processes train it together, without Ray and without a fault."""
    folder = str(tmp_path_factory.mktemp("undisturbed"))

    def work(team: Team) -> None:
        store = Store.open(folder)
        plan = team.told(lambda: make_plan(declared(), None, store))
        for task in (task for job in plan.jobs for task in job.tasks):
            carry_out(task, store, data.load(task.recipe.data), "cpu", None, team)

    together(2, work)
    store = Store.open(folder)
    plan = make_plan(declared(), None, store)
    assert not plan.jobs
    remember(store, plan, "Asked by a test.")
    return contents(plan, store)


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    with a_runner(tmp_path) as runner:
        runner.source = SCRIPT
        yield runner


def seconds_until_next_step(runner: Runner, once: Path) -> float:
    """From the moment that a kill is seen to the next step that is counted."""
    runner.wait_for(once.exists, timeout_s=200)
    began, before = time.monotonic(), runner.steps.total()
    while runner.steps.total() <= before + 1:  # the step that a survivor was in may still come
        assert time.monotonic() - began < 200, runner.output[-3000:]
        time.sleep(0.1)
    return time.monotonic() - began

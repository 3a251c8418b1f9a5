"""A small study that two workers train together, and what one expects of it without Ray."""

import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from lth_ray import Study, data
from lth_ray.lottery import Plan, carry_out, make_plan
from lth_ray.record import replay
from lth_ray.running.history import recorded_plan, remember
from lth_ray.store import Store
from lth_ray.training import ALONE, Team
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
SHORT = SCRIPT.replace("rounds=2", "rounds=1").replace("    branches=[Barrier(points=3, rounds=[2])],\n", "")
EVERY = 20  # steps between evaluations, and so between checkpoints under --checkpoint-every-s 0


def declared(script: str = SCRIPT) -> Study:
    """The study of a script."""
    namespace: dict[str, object] = {"__name__": "study"}
    exec(script, namespace)
    study = namespace["study"]
    assert isinstance(study, Study)
    return study


Points = Counter[tuple[str, str, int]]  # (run's name, metric, step), each as often as MLflow holds it


@dataclass(frozen=True)
class Expected:
    """The results of the study where nothing happens.

    losses: {segment: of its training and validation}.
    """

    contents: dict[str, str]
    losses: dict[str, list[float]]
    points: Points


def points(database: Path) -> Points:
    """All but those of the machine, of which there are as many as a training took time."""
    query = (
        "select runs.name, metrics.key, metrics.step from metrics join runs using (run_uuid) "
        "where metrics.key not like 'system/%'"
    )
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        return Counter(tuple(row) for row in connection.execute(query))


def losses(plan: Plan, store: Store) -> dict[str, list[float]]:
    """{ticket: its training and validation losses}"""
    found = {}
    for lineage in plan.lineages:
        for r in lineage.rounds:
            record = store.segment(r.segment.key)
            assert record is not None
            journal = record["journal"]
            found[f"{lineage.id} {r.number}"] = [*journal["train_loss"], *journal["validation_loss"]]
    return found


def train(study: Study, store: Store, team: Team) -> None:
    plan = team.by_leader(lambda: make_plan(study, None, store))
    for piece in (piece for job in plan.jobs for piece in job.pieces):
        carry_out(piece, store, data.load(piece.recipe.data), "cpu", None, team)


def expected(study: Study, folder: Path, size: int) -> Expected:
    """Trains the study in `size` processes, without Ray."""
    store = Store.open(str(folder))
    if size == 1:
        train(study, store, ALONE)
    else:
        together(size, partial(train, study, store))
    plan = make_plan(study, None, store)
    assert not plan.jobs
    remember(store, plan, "Asked by a test.")
    replay(plan, store)
    found = points(folder / "mlflow.db")
    assert set(found.values()) == {1}
    return Expected(contents(plan, store), losses(plan, store), found)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Expected:
    """The results of two processes that train SCRIPT together."""
    return expected(declared(), tmp_path_factory.mktemp("undisturbed"), 2)


@pytest.fixture(scope="session")
def short_of_two(tmp_path_factory: pytest.TempPathFactory) -> Expected:
    """The results of two processes that train SHORT together."""
    return expected(declared(SHORT), tmp_path_factory.mktemp("short-of-two"), 2)


@pytest.fixture(scope="session")
def short_of_one(tmp_path_factory: pytest.TempPathFactory) -> Expected:
    """The results of one process that trains SHORT."""
    return expected(declared(SHORT), tmp_path_factory.mktemp("short-of-one"), 1)


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


def worlds(runner: Runner) -> set[int]:
    """The numbers of workers by which the records were made."""
    store = Store.open(str(runner.storage))
    records = [store.segment(key) for key in recorded_plan(store, "small").pieces if store.segment(key)]
    return {record["environment"]["world_size"] for record in records if record is not None}


def complete(runner: Runner, undisturbed: Expected, database: Path | None = None) -> None:
    """Nothing is missing, different, or twice in MLflow."""
    assert runner.contents() == undisturbed.contents
    assert points(database or runner.storage / "mlflow.db") == undisturbed.points

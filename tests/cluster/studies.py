"""The studies that the desk submits, and what comes of them where nothing happens: trained here, without Ray."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lth_ray import Study, data
from lth_ray.lottery import Plan, carry_out, make_plan
from lth_ray.record import replay
from lth_ray.running.history import recorded_plan, remember
from lth_ray.store import Store
from lth_ray.training import ALONE, Team
from tests.cluster import slowly
from tests.cluster.lab import Job, Lab, points
from tests.running.conftest import contents
from tests.training.teams import together

SCRIPT = '''
"""Does what is cut off come back the same?"""
from slowly import slowly

from lth_ray import Data, Model, Prune, Study, Train, main, steps

study = Study(
    "NAME",
    model=Model("lenet_20_10"),
    data=Data("digits", batch_size=60, validation=200),
    train=Train(
        steps(STEPS), optimizer="adam", lr=LR, evaluate_every=steps(20), batch_norm_group=30, step=slowly,
    ),
    prune=Prune(scope="layer", fraction=0.3, rounds=1),
    rewind=[steps(0)],
    seeds=SEEDS,
)

if __name__ == "__main__":
    main(study)
'''


@dataclass(frozen=True)
class Case:
    """A study of its own for each test."""

    name: str
    lr: float  # apart, so that no study finds its networks in the store
    steps: int = 100
    seeds: tuple[int, ...] = (0,)

    @property
    def script(self) -> str:
        text, given = SCRIPT, {"NAME": self.name, "STEPS": self.steps, "LR": self.lr, "SEEDS": list(self.seeds)}
        for word, value in given.items():
            text = text.replace(word, str(value))
        return text.lstrip()

    def submit(self, lab: Lab, *flags: str, pause_s: float = 0) -> Job:
        """pause_s: for each group of a batch, which changes nothing but the time that it takes."""
        (lab.desk / "study.py").write_text(self.script)
        return lab.submit(*flags, PAUSE_S=str(pause_s))

    @property
    def study(self) -> Study:
        sys.modules["slowly"] = slowly
        namespace: dict[str, Any] = {"__name__": "study"}
        exec(self.script, namespace)
        study = namespace["study"]
        assert isinstance(study, Study)
        return study


@dataclass(frozen=True)
class Expected:
    """The results of an undisturbed run."""

    plan: Plan
    store: Store
    folder: Path

    @property
    def contents(self) -> dict[str, str]:
        return contents(self.plan, self.store)

    @property
    def losses(self) -> dict[str, list[float]]:
        return losses(self.plan, self.store)

    def check_record(self, lab: Lab) -> None:
        """MLflow has all that the store holds, each run and each point once."""
        name, database = self.plan.study.name, self.folder / "replayed.db"
        replay(self.plan, Store.open(str(lab.storage)), f"sqlite:///{database}")
        twice = {run: times for run, times in lab.runs(name).items() if times > 1}
        assert not twice
        assert lab.points(name) == points(database, name)

    def check(self, lab: Lab) -> None:
        """Every ticket is there with the content of an undisturbed run, and so is the record."""
        self.check_contents(lab)
        self.check_record(lab)

    def check_contents(self, lab: Lab) -> None:
        assert contents(*recorded(lab, self.plan.study.name)) == self.contents


def undisturbed(case: Case, folder: Path, workers: int = 0) -> Expected:
    """Trained here, in one process or by `workers` of them over gloo."""
    store = Store.open(str(folder / "undisturbed"))
    plan = make_plan(case.study, None, store)
    remember(store, plan, "Asked by a test.")
    train: Callable[[Team], None] = partial(_train, plan, store)
    if workers:
        together(workers, train)
    else:
        train(ALONE)
    return Expected(plan, store, folder)


def _train(plan: Plan, store: Store, team: Team) -> None:
    for job in plan.jobs:
        for piece in job.pieces:
            carry_out(piece, store, data.load(piece.recipe.data), "cpu", None, team)


def recorded(lab: Lab, name: str) -> tuple[Plan, Store]:
    store = Store.open(str(lab.storage))
    return recorded_plan(store, name), store


def losses(plan: Plan, store: Store) -> dict[str, list[float]]:
    """{segment: its training and validation losses}"""
    journals = {key: store.segment(key)["journal"] for key in sorted(plan.keys)}  # type: ignore[index]
    return {key: [*journal["train_loss"], *journal["validation_loss"]] for key, journal in journals.items()}

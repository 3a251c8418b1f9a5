"""A small real study as a script, run in processes of its own so that they can be killed."""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from lth_ray import Study
from lth_ray.config import Launch
from lth_ray.lottery import Plan, branch_rows, carry_out, make_plan, ticket_rows
from lth_ray.running.history import recorded_plan, remember
from lth_ray.running.results import Results
from lth_ray.running.trial import summary
from lth_ray.running.watch import Watch
from lth_ray.store import Store

EVERY = 20  # steps between evaluations, and so between checkpoints under --checkpoint-every-s 0
SCRIPT = f'''
"""Does what is killed come back the same?"""
from lth_ray import Data, Model, Prune, RandomReinit, Rewind, Study, Train, main, steps

study = Study(
    "small",
    model=Model("lenet_20_10"),
    data=Data("digits", batch_size=60, validation=200),
    train=Train(steps(100), optimizer="adam", lr=1e-3, evaluate_every=steps({EVERY})),
    prune=Prune(scope="layer", fraction=0.3, rounds=2),
    rewind=[steps(0), steps(40)],
    seeds=[0],
    branches=[RandomReinit(rounds=[2])],
)

if __name__ == "__main__":
    main(study)
'''


def contents(plan: Plan, store: Store) -> dict[str, str]:
    """{{ticket or branch result: content}}"""
    found = {f"{row['lineage']} {row['round']}": row["content"] for row in ticket_rows(plan, store)}
    return found | {
        f"{row['lineage']} {row['round']} {row['branch']}-{row['index']}": row["content"]
        for row in branch_rows(plan, store)
    }


@dataclass
class Runner:
    """Runs the study against one storage."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)
    source: str = SCRIPT

    @property
    def storage(self) -> Path:
        return self.folder / "storage"

    @property
    def step_log(self) -> Path:
        return self.folder / "steps.log"

    def start(self, *flags: str, **env: str) -> "subprocess.Popen[str]":
        script = self.folder / "study.py"
        script.write_text(self.source)
        command = [sys.executable, str(script), "--storage", str(self.storage), "--cpus", "2", *flags]
        if "--checkpoint-every-s" not in flags:
            command += ["--checkpoint-every-s", "0"]
        chosen = {**os.environ, "LTH_RAY_STEP_LOG": str(self.step_log), **self.env, **env}
        with open(self.folder / "output.log", "a") as output:
            return subprocess.Popen(command, env=chosen, stdout=output, stderr=output, text=True, cwd=self.folder)

    def run(self, *flags: str, **env: str) -> int:
        return self.start(*flags, **env).wait(timeout=400)

    @property
    def output(self) -> str:
        return (self.folder / "output.log").read_text()

    @property
    def steps(self) -> Counter[str]:
        """Return how often each step of each segment was trained, counted by the processes that trained it."""
        return Counter(self.step_log.read_text().splitlines()) if self.step_log.exists() else Counter()

    @property
    def trained_twice(self) -> int:
        return self.steps.total() - len(self.steps)

    def contents(self) -> dict[str, str]:
        store = Store.open(str(self.storage))
        return contents(recorded_plan(store, "small"), store)

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = 240) -> None:
        """So long that no busy machine fails; what is asked of is not how fast it comes."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"it never came to that:\n{self.output[-3000:]}"
            time.sleep(0.02)

    def wait_for_orphans(self) -> None:
        """Until no process of an earlier run is left: Ray ends them once it has missed its driver."""
        self.wait_for(lambda: not orphans(self.storage))


def orphans(storage: Path) -> list[int]:
    """Processes whose environment names this storage's step log: the trial actors of a run."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("LTH_RAY_STEP_LOG", "").startswith(str(storage.parent)):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


@contextmanager
def a_runner(folder: Path) -> Iterator[Runner]:
    runner = Runner(folder)
    yield runner
    for pid in orphans(runner.storage):
        psutil.Process(pid).kill()


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    with a_runner(tmp_path) as runner:
        yield runner


def declared() -> Study:
    """The study of SCRIPT."""
    namespace: dict[str, object] = {"__name__": "study"}
    exec(SCRIPT, namespace)
    study = namespace["study"]
    assert isinstance(study, Study)
    return study


def train_here(study: Study, store: Store) -> Plan:
    """Trains what is left of a study in this process, without Ray, and enters it in the study's history."""
    plan = make_plan(study, None, store)
    remember(store, plan, "Asked by a test.")
    for job in plan.jobs:
        for piece in job.pieces:
            carry_out(piece, store, piece.recipe.task.load(), "cpu")
    return plan


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The contents that the study has when nothing happens to it; trained in this process, without Ray."""
    store = Store.open(str(tmp_path_factory.mktemp("undisturbed")))
    return contents(train_here(declared(), store), store)


class NoShipper:
    """In place of MLflow's."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def segment(self, key: str) -> None: ...

    def close(self, timeout_s: float) -> None: ...


@pytest.fixture
def without_ray(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Runs train their jobs in this process, one after another, and ship nothing; the jobs that were run."""
    ran: list[str] = []

    def train(results: Results, launch: Launch, watch: Watch, *_: object) -> None:
        for job in results.plan.jobs:
            ran.append(job.id)
            for piece in job.pieces:
                loaded = piece.recipe.task.load(launch.data_root)
                outcome = carry_out(piece, results.store, loaded, "cpu")
                watch.on_piece(job, {**summary(job, piece, outcome)})

    monkeypatch.setattr("lth_ray.running.driver._tune", train)
    monkeypatch.setattr("lth_ray.running.driver.Shipper", NoShipper)
    return ran

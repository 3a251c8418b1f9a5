"""Small studies on the real digits, run in this process: a plan's trials one after another, as the scheduler would."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from lth_ray import data, probes
from lth_ray.config import ACCURACY, Data, Model, Prune, Study, Train, set_fields, steps
from lth_ray.lottery import Plan, StopRule, branch_rows, carry_out_all, in_lockstep, make_plan, make_trials, ticket_rows
from lth_ray.lottery.execution.reading import MissingState
from lth_ray.lottery.stop_rule import ending_of
from lth_ray.store import Store
from lth_ray.training import Clock

BASE = Study(
    "tiny",
    model=Model("lenet_20_10"),
    data=Data("digits", batch_size=60, validation=200),
    train=Train(steps(40), optimizer="adam", lr=1.2e-3, evaluate_every=steps(10)),
    prune=Prune(scope="layer", fraction=0.2, rounds=2),
    rewind=[steps(0)],
    seeds=[0],
)


class Interruption(Exception):
    """Stands for a kill."""


@dataclass
class Loop:
    """A count of what the training loop did: steps by piece key; `kill_at` raises at the n-th step from now
    on.
    """

    trained: Counter[str] = field(default_factory=Counter)
    kill_at: int | None = None

    def step(self, key: str, step: int) -> None:
        self.trained[key] += 1
        if self.kill_at is not None:
            self.kill_at -= 1
            if self.kill_at == 0:
                self.kill_at = None
                raise Interruption

    def take(self) -> int:
        """Steps since the last call."""
        total = self.trained.total()
        self.trained.clear()
        return total


@dataclass
class Ran:
    """One invocation. steps: counted in the loop. failures: {job id: why it ended early}."""

    plan: Plan
    store: Store
    steps: int
    failures: dict[str, str]

    @property
    def tickets(self) -> list[dict[str, Any]]:
        return ticket_rows(self.plan, self.store)

    @property
    def branches(self) -> list[dict[str, Any]]:
        return branch_rows(self.plan, self.store)

    @property
    def contents(self) -> dict[str, str]:
        """{lineage/round[/branch]: content} of everything that is finished."""
        tickets = {f"{row['lineage']}/{row['round']}": row["content"] for row in self.tickets}
        by_key = {row["key"]: row["content"] for row in self.branches}
        return tickets | {b.id: by_key[b.key] for b in self.plan.branches if b.key in by_key}

    def key(self, number: int, lineage: int = 0) -> str:
        return self.plan.lineages[lineage].rounds[number].segment.key


@dataclass
class Lab:
    """Runs studies in stores of their own, counting every step twice: in memory and by the log of probes."""

    root: Path
    loop: Loop
    log: Path
    wholes: dict[str, Ran]

    def study(self, changes: dict[str, Any] | None = None, **fields: Any) -> Study:
        return replace(set_fields(BASE, changes or {}), **fields)

    def store(self, name: str = "store") -> Store:
        return Store.open(str(self.root / name))

    def whole(self, study: Study) -> Ran:
        """The study run without a break in an empty store, once for all tests."""
        name = repr(study)
        if name not in self.wholes:
            self.wholes[name] = self.run(study, f"whole{len(self.wholes)}")
        return self.wholes[name]

    def run(self, study: Study, store: str = "store", every_s: float = 60.0) -> Ran:
        opened = self.store(store)
        plan = make_plan(study, None, opened)
        failures: dict[str, str] = {}
        undone: set[str] = set()
        reported = 0
        for trial in make_trials(plan.jobs):
            for job in trial:
                if job.needs & undone:
                    failures[job.id] = "what it needs will not be done"
                    undone |= {piece.key for piece in job.pieces}
            for now in in_lockstep(trial, lambda: {job.id for job in trial} - failures.keys()):  # noqa: B023
                dataset = data.load(now[0][1].recipe.data)
                try:
                    outcomes = carry_out_all([piece for _, piece in now], opened, dataset, "cpu", Clock(every_s))
                except MissingState as error:
                    outcomes = [error]
                for (job, piece), outcome in zip(now, outcomes, strict=True):
                    later = {one.key for one in job.pieces[job.pieces.index(piece) :]}
                    if isinstance(outcome, Exception):
                        failures[job.id], undone = str(outcome), undone | later
                        continue
                    reported += outcome.trained_steps
                    if self._ends(study, job.kind, outcome.record):
                        failures[job.id], undone = "ended", undone | (later - {piece.key})
        logged = self.log.read_text().count("\n")
        self.log.write_text("")
        counted = self.loop.take()
        assert counted == logged == reported
        return Ran(plan, opened, counted, failures)

    @staticmethod
    def _ends(study: Study, kind: str, record: dict[str, Any] | None) -> bool:
        if record is None:
            return False
        below = study.stop_below if kind == "lineage" else None
        return ending_of(record, None if below is None else StopRule(below, ACCURACY)) is not None

    def interrupted(self, study: Study, at: int, store: str = "store", every_s: float = 60.0) -> int:
        """Kills a run as it takes its step number `at`; the steps it had taken."""
        self.loop.kill_at = at
        with pytest.raises(Interruption):
            self.run(study, store, every_s)
        self.log.write_text("")
        return self.loop.take()


@pytest.fixture(scope="session")
def wholes() -> dict[str, Ran]:
    return {}


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wholes: dict[str, Ran]) -> Iterator[Lab]:
    log = tmp_path / "steps.log"
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    loop, written = Loop(), probes.step

    def step(key: str, number: int, counts: bool = True) -> None:
        written(key, number, counts)
        loop.step(key, number)

    monkeypatch.setattr(os, "fsync", lambda _: None)  # nobody cuts the power here
    monkeypatch.setattr(probes, "_descriptor", descriptor)
    monkeypatch.setattr(probes, "step", step)
    yield Lab(tmp_path, loop, log, wholes)
    os.close(descriptor)

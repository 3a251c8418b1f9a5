"""The cost of a decision to the scheduler among 1,000 trials with dependencies.

A trial's decisions are what Tune asks for between two trainings in a slot: what to do with its result, how to take its
end, and which trial goes next. The jobs are those of a sweep: chains of lineages, each with branches that need a ticket
of the lineage and of the one before. They go through a stand-in for Tune, and then through Tune itself on two cores,
where every call of a hook is timed, with what the scheduler asks of Ray and of the store from time to time.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import ray
from ray import tune
from ray.tune.experiment import Trial

from benchmarks.timing import Entry
from lth_ray.config import Launch
from lth_ray.running import history
from lth_ray.running.driver import ENVIRONMENT
from lth_ray.running.scheduler import LineageScheduler
from lth_ray.running.tuning import connected
from lth_ray.store import Store

TRIALS, SLOTS, CHAIN, ROUNDS = 1_000, 16, 10, 3
TARGET_MS = 5.0
T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """As much of lottery.Job as the scheduler reads."""

    id: str
    pieces: tuple[Any, ...]
    needs: frozenset[str]
    masks: frozenset[str] = frozenset()


@dataclass(eq=False)
class StandIn:
    """As much of Tune's Trial."""

    trial_id: str
    config: dict[str, Any]
    status: str = Trial.PENDING

    def set_status(self, status: str) -> None:
        self.status = status

    def init_local_path(self) -> None:
        """Write nothing."""

    def is_finished(self) -> bool:
        return self.status in (Trial.ERROR, Trial.TERMINATED)


def entries(pairs: int = 200) -> list[Entry]:
    """Return the median, and what 99 of 100 do not exceed: of decisions in several sweeps, and of calls in
    one under Tune.
    """
    decisions = [ms for _ in range(max(2, pairs // 40)) for ms in sweep(TRIALS)]
    return [*lines("a scheduler's decision", decisions), *lines("a call of a scheduler's hook by Tune", tuned(TRIALS))]


def lines(what: str, taken: Sequence[float]) -> list[Entry]:
    """Return the report's lines on so many milliseconds."""
    cuts, n = statistics.quantiles(taken, n=100), len(taken)
    found = (("median", cuts[49]), ("99 of 100", cuts[98]))
    return [
        Entry(f"{what}, {TRIALS:,} trials, {name}", "ms", value, (cuts[24], cuts[74]), TARGET_MS, value, None, n)
        for name, value in found
    ]


def sweep(trials: int) -> Sequence[float]:
    """Run so many trials to their ends; return the milliseconds of each trial's decisions."""
    controller, jobs = SimpleNamespace(search_alg=None), list(chains(trials))
    priorities = {job.id: trials - n for n, job in enumerate(jobs)}
    scheduler = LineageScheduler(SLOTS, priorities, ahead=1)
    for job in reversed(jobs):  # producers after those that need them
        scheduler.on_trial_add(controller, StandIn(job.id, {"trial": {"jobs": [job]}}))
    running: list[Any] = []
    decisions: list[float] = []
    while len(decisions) < trials:
        while (trial := scheduler.choose_trial_to_run(controller)) is not None:
            trial.status = Trial.RUNNING
            running.append(trial)
        decisions.append(decide(scheduler, controller, running.pop(0)))
    return decisions


def decide(scheduler: LineageScheduler, controller: Any, trial: Any) -> float:
    """Return the milliseconds of the hooks between a trial's last result and the next trial's start."""
    for piece in trial.config["trial"]["jobs"][0].pieces[:-1]:
        scheduler.on_trial_result(controller, trial, result(piece))
    last = result(trial.config["trial"]["jobs"][0].pieces[-1])
    spent, _ = timed(lambda: scheduler.on_trial_result(controller, trial, last))
    trial.status = Trial.TERMINATED
    spent += timed(lambda: scheduler.on_trial_complete(controller, trial, last))[0]
    return spent + timed(lambda: scheduler.choose_trial_to_run(controller))[0]


def timed(hook: Callable[[], T]) -> tuple[float, T]:
    """Return the milliseconds it takes, and what it returns."""
    began = time.perf_counter()
    found = hook()
    return 1e3 * (time.perf_counter() - began), found


def result(piece: Any) -> dict[str, Any]:
    """Return a round's result, as a trial reports it."""
    return {"key": piece.key, "diverged_at": None, "judged": 0.9}


def chains(trials: int) -> Iterator[Job]:
    """Return chains of CHAIN jobs each: lineage and branch in turn, all but the first of which need what came
    before them.
    """
    for n in range(trials):
        place = n % CHAIN
        needs = {f"{n - back}.{ROUNDS}" for back in (1, 2) if back <= place}
        pieces = tuple(SimpleNamespace(key=f"{n}.{number + 1}") for number in range(ROUNDS))
        yield Job(f"{n}", pieces, frozenset(needs))


class Timed(LineageScheduler):
    """taken: the milliseconds of every call of a hook by which Tune asks for a decision."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.taken: list[float] = []

    def on_trial_result(self, controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        return self._noted(lambda: super(Timed, self).on_trial_result(controller, trial, result))

    def on_trial_complete(self, controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        self._noted(lambda: super(Timed, self).on_trial_complete(controller, trial, result))

    def choose_trial_to_run(self, controller: Any) -> Trial | None:
        return self._noted(lambda: super(Timed, self).choose_trial_to_run(controller))

    def _noted(self, hook: Callable[[], T]) -> T:
        ms, found = timed(hook)
        self.taken.append(ms)
        return found


def tuned(trials: int, cpus: int = 2) -> list[float]:
    """Run so many trials that train nothing through Tune, as running.tuning does; return the calls'
    milliseconds.
    """
    os.environ.update({name: os.environ.get(name, value) for name, value in ENVIRONMENT.items()})
    jobs = list(chains(trials))
    with tempfile.TemporaryDirectory(prefix="lth_", ignore_cleanup_errors=True) as folder:
        store, name = Store.open(f"{folder}/store"), "benchmark"
        with connected(Launch(f"{folder}/store", cpus=cpus), Path(folder)):
            scheduler = Timed(
                lambda: int(ray.cluster_resources()["CPU"]), {job.id: trials - n for n, job in enumerate(jobs)},
                cancelled=lambda: history.cancelled(store, name), ahead=1,
            )  # fmt: skip
            tune.Tuner(
                tune.with_resources(report_all, tune.PlacementGroupFactory([{"CPU": 1}])),
                param_space={"trial": tune.grid_search([{"jobs": [job]} for job in jobs])},
                tune_config=tune.TuneConfig(scheduler=scheduler, reuse_actors=True),
                run_config=tune.RunConfig(name="run", storage_path=f"{folder}/tune", verbose=0),
            ).fit()
    assert len(scheduler.done) == trials * ROUNDS
    return scheduler.taken


def report_all(config: dict[str, Any]) -> None:
    """Act as a trial."""
    for piece in config["trial"]["jobs"][0].pieces:
        tune.report(result(piece))

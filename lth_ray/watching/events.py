"""The events of a run, taken in as they happen: what is done, at work and ended."""

import threading
import time
from collections.abc import Mapping
from typing import Any

from lth_ray.config import Metric
from lth_ray.lottery import Job, Piece, Plan, Training, measurements
from lth_ray.lottery.kept.records import Record
from lth_ray.store import LiveRun
from lth_ray.watching.pace import Pace

Measured = tuple[float | None, float | None]  # remaining weights, the metric on the test set


class Events:
    """The events of a run so far; `on_...` are called as they happen, from any thread.

    run: the live run; None for what is stored.
    """

    def __init__(self, plan: Plan, run: LiveRun | None = None) -> None:
        self.plan, self.run, self.began = plan, run, time.time()
        self.producers = {piece.key: job for job in plan.jobs for piece in job.pieces}
        self.pieces = {piece.key: piece for job in plan.jobs for piece in job.pieces}
        self.left = {job.id: len(job.pieces) for job in plan.jobs}  # pieces of those that have not ended
        self.steps = {job.id: job.num_steps for job in plan.jobs}
        self.steps_left = dict(self.steps)
        self.reused = plan.keys - self.pieces.keys()
        self.done: set[str] = set()
        self.measured: dict[str, Measured] = {}
        self.diverged: set[str] = set()
        self.cut: set[str] = set()
        self.ended: dict[str, str] = {}
        self.at_work: dict[str, int | None] = {}  # key -> step
        self.waits: tuple[str, ...] = ()  # what waits for room in the cluster
        self.elsewhere: Mapping[str, str] = {}  # job: which other run is at it
        self.stopping = ""  # why the run is being stopped
        self.pace, self.table_s, self.tables = Pace(), 0.0, 0  # of the tables measured so far
        self.last = ""
        self.trainings = frozenset(key for key, piece in plan.pieces.items() if isinstance(piece, Training))
        self.numbers = {
            (lineage.id, segment.key): r.number
            for lineage in plan.lineages
            for r in lineage.rounds
            for segment in (r.search, r.segment)
            if segment
        }
        self.new_steps = sum(piece.num_steps for piece in self.pieces.values() if piece.measured)
        dense = {one.key for lineage in plan.lineages for one in (lineage.dense, lineage.trunk)}
        self.dense_runs = len(dense & plan.keys)
        self._lock = threading.Lock()

    def on_piece(self, job: Job, result: Mapping[str, Any]) -> None:
        """Take in that a piece of `job` is in the store.

        result: `running.trial.summary` of it.
        """
        key = result["key"]
        with self._lock:
            piece = self.pieces[key]
            self.done.add(key)
            self.at_work.pop(key, None)
            self.left[job.id] = max(0, self.left[job.id] - 1)
            self.steps_left[job.id] = max(0, self.steps_left[job.id] - piece.num_steps)
            self.measured[key] = result["remaining_weights"], result["test"]
            if result["diverged_at"] is not None:
                self.diverged.add(key)
            if result.get("cut"):
                self.cut.add(key)
            if job.kind == "table":
                self.table_s, self.tables = self.table_s + result.get("wall_s", 0.0), self.tables + 1
            self.pace.finished(key, result["trained_steps"], time.monotonic())
            self.last = f"{job.id}: {self.describe(result)}"

    def on_end(self, job: Job, reason: str) -> None:
        """Take in that a job will not be finished."""
        with self._lock:
            self.ended[job.id] = reason
            self.left[job.id] = self.steps_left[job.id] = 0
            for piece in job.pieces:
                self.at_work.pop(piece.key, None)

    def on_steps(self, steps: Mapping[str, int | None]) -> None:
        """Take in the pieces at work, by key, with the step of those that train already."""
        with self._lock:
            known = {key: step for key, step in steps.items() if key in self.pieces and key not in self.done}
            self.at_work = {key: step for key, step in known.items() if self.producers[key].id not in self.ended}
            heard = {key: step for key, step in self.at_work.items() if step is not None}
            self.pace.heard(heard, time.monotonic())

    def on_waits(self, waits: tuple[str, ...]) -> None:
        """Take in what waits for room in the cluster."""
        with self._lock:
            self.waits = waits

    def on_elsewhere(self, jobs: Mapping[str, str]) -> None:
        """Take in which jobs other runs are at, and which runs."""
        with self._lock:
            self.elsewhere = jobs

    def on_stopping(self, why: str) -> None:
        """Take in that the run is being stopped: trainings write their last checkpoints, and nothing else begins."""
        with self._lock:
            self.stopping = why

    def on_records(self, records: Mapping[str, Record]) -> None:
        """Take in what the store holds of tickets that are reused."""
        measured = {key: measurements(record) for key, record in records.items()}
        test = self.metric.column("test")
        with self._lock:
            self.measured |= {key: (row["remaining_weights"], row[test]) for key, row in measured.items()}
            self.diverged |= {key for key, row in measured.items() if row["diverged_at"] is not None}
            self.cut |= {key for key, row in measured.items() if row["cut"]}

    def describe(self, result: Mapping[str, Any]) -> str:
        """Return a finished piece in few words, without the metric where that would mean nothing."""
        if self.hides_metric and result["remaining_weights"] is not None:
            return f"{result['remaining_weights']:.1%} remaining"
        return describe(result, self.metric)

    @property
    def metric(self) -> Metric:
        """The metric that the study's networks are judged by."""
        return self.plan.study.data.metric

    @property
    def hides_metric(self) -> bool:
        return self.plan.study.smoke_shows == "pipeline"


def begins(piece: Piece) -> int:
    """Return the step that a piece sets out from."""
    if not isinstance(piece, Training):
        return 0
    return piece.segment.first if piece.begins is None else piece.begins


def describe(result: Mapping[str, Any], metric: Metric) -> str:
    """Return a finished piece in few words."""
    if result["diverged_at"] is not None:
        return f"diverged by step {result['diverged_at']}"
    if result["remaining_weights"] is None:
        return "state restored"
    if result.get("error_barrier") is not None:
        return f"{result['remaining_weights']:.1%} remaining, error barrier {metric.brief(result['error_barrier'])}"
    return f"{result['remaining_weights']:.1%} remaining, " + (
        "-" if result["test"] is None else f"{metric.brief(result['test'])} test"
    )

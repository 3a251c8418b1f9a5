"""The progress of a run: told of what happens, it gives snapshots."""

import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

from lth_ray.config import Metric
from lth_ray.lottery import Job, Lineage, Piece, Plan, Training, measurements
from lth_ray.lottery.kept.records import Record
from lth_ray.store import LiveRun
from lth_ray.watching.pace import Pace
from lth_ray.watching.snapshot import CUT, DONE, ENDED, NOW, REUSED, SLOT, TO_COME, Line, Snapshot, Work, grouped

Measured = tuple[float | None, float | None]  # remaining weights, the metric on the test set


class Board:
    """The progress of a run.

    `on_...` are called as things happen and `snapshot` whenever somebody looks, from any thread.

    run: the live run; None looks at what is stored, and nothing waits.
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

    # What happens -----------------------------------------------------------------------------------------------

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

    # What is seen -----------------------------------------------------------------------------------------------

    @property
    def metric(self) -> Metric:
        """The metric that the study's networks are judged by."""
        return self.plan.study.data.metric

    @property
    def hides_metric(self) -> bool:
        return self.plan.study.smoke_shows == "pipeline"

    def snapshot(self, over: bool = False) -> Snapshot:
        """Return how far it is now.

        over: the run has ended.
        """
        with self._lock:
            works = {} if over else dict(self._works())
            lines = tuple(self._line(lineage, works, over) for lineage in self.plan.lineages)
            own = {line.lineage for line in lines}
            rate = None if over or self.run is None else self.pace.total.per_s
            steps_left = self._steps_left()
            return Snapshot(
                **self._whole(),
                over=over,
                began=self.began,
                at=time.time(),
                last=self.last,
                lines=lines,
                beside=tuple(work for work in works.values() if work.job not in own),
                ended=grouped({**{line.lineage: line.ended for line in lines if line.ended}, **self.ended}.items()),
                steps_left=steps_left,
                steps_per_s=rate,
                room=() if over else self.waits,
                seconds_left=None if rate is None else self._seconds_left(steps_left, rate, works),
            )

    def moves(self) -> tuple[int, dict[str, int | None], bool]:
        """Return what changes as long as anything goes on.

        That is how many pieces are done and jobs ended, the steps of those at work, and whether one without
        steps is among them.
        """
        with self._lock:
            measuring = any(not isinstance(self.pieces[key], Training) for key in self.at_work)
            return len(self.done) + len(self.ended), dict(self.at_work), measuring

    def at_work_now(self) -> list[str]:
        """Return the pieces at work, with their steps."""
        with self._lock:
            return [
                f"{self.producers[key].id} ({'not begun' if step is None else f'at step {step:,}'})"
                for key, step in self.at_work.items()
            ]

    def _whole(self) -> dict[str, Any]:
        """Return the facts of the study and the run as a whole."""
        plan, run, done = self.plan, self.run, self.done | self.reused
        return {
            "study": plan.study.name,
            "run": run.id if run else "",
            "host": run.host if run else "",
            "pid": run.pid if run else 0,
            "unique_steps": plan.unique_steps,
            "naive_steps": plan.naive_steps,
            "reused_steps": plan.unique_steps - self.new_steps if run else 0,
            "metric": self.metric,
            "hides_metric": self.hides_metric,
            "trainings": (len(self.trainings & done), len(self.trainings)),
            "dense_runs": self.dense_runs,
            "branches": (sum(result.key in done for result in plan.branches), len(plan.branches)),
        }

    def _works(self) -> Iterable[tuple[str, Work]]:
        """Yield (key, work) of every trial, also of those that are between two pieces."""
        seen = set()
        for key, step in self.at_work.items():
            job = self.producers[key]
            seen.add(job.id)
            yield key, self._work(job, self.pieces[key], step)
        for job in self.plan.jobs if self.run else ():
            if job.id not in seen and 0 < self.left[job.id] < len(job.pieces):
                piece = job.pieces[len(job.pieces) - self.left[job.id]]
                yield piece.key, self._work(job, piece, None)

    def _work(self, job: Job, piece: Piece, step: int | None) -> Work:
        taken = 0 if step is None else min(piece.num_steps, max(0, step - _begins(piece)))
        number = self.numbers.get((job.id, piece.key))
        return Work(job.id, job.kind, number, taken, piece.num_steps, self.pace.of(piece.key))

    def _line(self, lineage: Lineage, works: Mapping[str, Work], over: bool) -> Line:
        keys = [r.segment.key for r in lineage.rounds]
        rounds, work = [self._letter(key) for key in keys], None
        ended = self.ended.get(lineage.id) or (self._why(lineage, keys) if ENDED in rounds else "")
        for number, letter in enumerate(rounds):
            if letter == ENDED or (ended and letter == TO_COME):
                rounds[number:] = [ENDED] * (len(rounds) - number)
                break
        waits_for = ""
        if TO_COME in rounds:
            first = rounds.index(TO_COME)
            searching = lineage.rounds[first - 1].search if first else None  # which comes before the next round
            work = works.get(keys[first]) or (works.get(searching.key) if searching else None)
            if work is not None:
                rounds[first] = NOW
            elif self.run is not None and not over:
                waits_for = self._waits_for(lineage, keys[first])
        measured = [self.measured.get(key, (None, None)) for key in keys]
        return Line(
            lineage.id,
            "".join(rounds),
            tuple(remaining for remaining, _ in measured),
            tuple(None if self.hides_metric else value for _, value in measured),
            work,
            waits_for,
            ended,
        )

    def _letter(self, key: str) -> str:
        if key in self.diverged or key not in self.plan.pieces:
            return ENDED
        if key in self.cut:
            return CUT
        if key in self.done or (key in self.reused and self.run is None):
            return DONE
        return REUSED if key in self.reused else TO_COME

    def _why(self, lineage: Lineage, keys: Iterable[str]) -> str:
        """Return why a lineage ended in an earlier run."""
        if not self.diverged.isdisjoint(keys):
            return "its loss became NaN or infinite"
        return str(lineage.stop_rule(lineage.prune.num_rounds) or "")

    def _waits_for(self, lineage: Lineage, key: str) -> str:
        """Return the job before the one that `key` comes of: the lineage's own, or one that it shares."""
        job = self.producers[key]
        if job.id != lineage.id:
            return job.id
        return min((self.producers[need].id for need in job.needs - self.done), default=SLOT)

    def _taken(self, job: str) -> int:
        """Return the steps of the finished pieces of a job."""
        return self.steps[job] - self.steps_left[job]

    def _steps_left(self) -> int:
        steps = self.pace.steps
        partial = sum(max(0, step - _begins(self.pieces[key])) for key, step in steps.items() if key in self.at_work)
        return max(0, sum(self.steps_left.values()) - partial)

    def _seconds_left(self, steps_left: int, rate: float, works: Mapping[str, Work]) -> float | None:
        """Return the time left by the pace of late: of all that is left, at least of its longest chain,
        tables by their mean time.
        """
        if not rate and steps_left:
            return None
        at_once = max(1, len(works))
        tables = sum(self.left[job.id] for job in self.plan.jobs if job.kind == "table")
        tables_s = tables * self.table_s / self.tables / at_once if self.tables else 0.0
        if not steps_left:
            return tables_s if self.tables or not tables else None
        rates = [work.steps_per_s for work in works.values() if work.steps_per_s]
        each = sum(rates) / len(rates) if rates else rate / at_once
        chains = self.plan.priorities.items()
        chain = max((steps - self._taken(job) for job, steps in chains if self.left[job]), default=0)
        return max(steps_left / rate, chain / each) + tables_s


def _begins(piece: Piece) -> int:
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

"""The progress of a run: told of what happens, it gives snapshots."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

from lth_ray.lottery import Job, Lineage, Piece, Training
from lth_ray.watching.events import Events, begins
from lth_ray.watching.snapshot import (
    ANOTHER_RUN,
    CUT,
    DONE,
    ENDED,
    NOW,
    REUSED,
    SLOT,
    TO_COME,
    Line,
    Snapshot,
    Work,
    grouped,
)


class Board(Events):
    """The progress of a run: whoever looks is given a `snapshot` of it, in any thread.

    Without a live run it shows what is stored, and nothing waits.
    """

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
                pieces_left=sum(self.left.values()),
                steps_per_s=rate,
                stopping=self.stopping,
                room=() if over else self.waits,
                seconds_left=None if rate is None or self.stopping else self._seconds_left(steps_left, rate, works),
            )

    def moves(self) -> tuple[int, dict[str, int | None], bool]:
        """Return what changes as long as anything goes on.

        That is how many pieces are done and jobs ended, the steps of those at work, and whether one without
        steps is among them, or another run, which watches over its own, is at what this one waits for.
        """
        with self._lock:
            measuring = bool(self.elsewhere) or any(not isinstance(self.pieces[key], Training) for key in self.at_work)
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
        taken = 0 if step is None else min(piece.num_steps, max(0, step - begins(piece)))
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
            elif self.run is not None and not over and not self.stopping:
                waits_for = self._waits_for(lineage, keys[first])
        if work is None and not waits_for:
            work = next((one for one in works.values() if one.job.startswith(f"{lineage.id}/")), None)
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
        if job.id in self.elsewhere:
            return f"{ANOTHER_RUN}, {self.elsewhere[job.id]}"
        if job.id != lineage.id:
            return job.id
        return min((self.producers[need].id for need in job.needs - self.done), default=SLOT)

    def _taken(self, job: str) -> int:
        """Return the steps of the finished pieces of a job."""
        return self.steps[job] - self.steps_left[job]

    def _steps_left(self) -> int:
        steps = self.pace.steps
        partial = sum(max(0, step - begins(self.pieces[key])) for key, step in steps.items() if key in self.at_work)
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

"""The scheduler: it chooses the trial that runs next, one whose needs are all in the store, on the longest
chain left.
"""

import heapq
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from lth_ray.lottery import Job, StopRule
from lth_ray.lottery.stop_rule import ending
from lth_ray.running.elsewhere import Elsewhere, Ready, jobs_of
from lth_ray.running.results import Ending

CONTINUE: str = TrialScheduler.CONTINUE
STOP: str = TrialScheduler.STOP
Controller = Any  # Tune's own, private class
CANCEL_POLL_S = 2.0


class LineageScheduler(TrialScheduler):
    """A scheduler that holds every trial back until what its jobs need is done, and runs at most `slots` at a
    time.

    A trial is added PAUSED, before Tune files it by its status, and so needs no actor until it is chosen:
    Tune itself starts every PENDING one. No hook looks at all trials, so that a decision costs the same among
    thousands. What a failed, cancelled or diverged job leaves undone ends its dependents, and theirs, with
    the reason. A trial that has others goes on without it: the job falls out of the trial's config, so that
    no process takes it up again.

    slots: a number, or what gives it as a cluster grows and shrinks.
    ahead: so many trials beyond `slots` are staged before there is room. Tune hands the process of a finished
        trial on only while another one is staged, and else starts a new one, which takes it seconds.
    priorities: steps on the chain that each job begins.
    stop_rules: {key: the rule by which its job ends there}.
    cancelled: asked from time to time for the lineages that a user has cancelled.
    elsewhere: has the claims of this run and of others; what others are at waits until they have done it, and is then
        looked up.
    """

    _supports_buffered_results = False

    def __init__(
        self,
        slots: int | Callable[[], int],
        priorities: Mapping[str, int],
        stop_rules: Mapping[str, StopRule] | None = None,
        cancelled: Callable[[], set[str]] = set,
        ahead: int = 0,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        super().__init__()
        self.room = slots
        self.slots, self.ahead = self._room(), ahead
        self.priorities, self.stop_rules, self.cancelled = priorities, stop_rules or {}, cancelled
        self.elsewhere = elsewhere or Elsewhere()
        self.done: set[str] = set()  # keys that are in the store
        self.diverged: set[str] = set()  # those of `done` that end in NaN
        self.undone: dict[str, Ending] = {}  # key -> why it will never be done
        self.endings: dict[str, Ending] = {}  # job -> why it ended before its last piece
        # staged when a process fell free: one of them is to have it, and none that came later
        self._first: list[Trial] = []
        self.active: dict[Trial, float] = {}  # trial -> when it got its slot; the first `slots` have one
        self.busy_s = 0.0  # slot-seconds of trials that have ended
        self.jobs: dict[str, Job] = {}  # by the keys of their pieces
        self._missing: dict[str, set[str]] = {}  # job -> the keys that it waits for
        self._waiting: dict[str, list[Job]] = {}
        self._heap: list[Ready] = []
        self._trials: dict[str, Trial] = {}  # of each job
        self._hopeless: deque[str] = deque()  # keys of `undone` whose dependents are still to be ended
        self._polled = 0.0

    @property
    def spent_s(self) -> float:
        """The seconds of slots in use so far."""
        return self.busy_s + sum(time.monotonic() - since for since in [*self.active.values()][: self.slots])

    # Tune's hooks -----------------------------------------------------------------------------------------------

    def on_trial_add(self, controller: Controller, trial: Trial) -> None:
        if any(job.id in self._trials for job in jobs_of(trial)):  # requeued after a fault: PENDING, it keeps its slot
            return
        trial.set_status(Trial.PAUSED)
        trial.init_local_path()  # else Tuner.fit raises in the end for a trial that never started
        for job in jobs_of(trial):
            self._trials[job.id] = trial
            self.jobs |= {piece.key: job for piece in job.pieces}
            self._missing[job.id] = {need for need in job.needs if not self._serves(need, job)}
            for need in self._missing[job.id]:
                self._waiting.setdefault(need, []).append(job)
                if need in self.undone:  # its producer ended before this one was added
                    self._hopeless.append(need)
        self._push_if_ready(trial)

    def choose_trial_to_run(self, controller: Controller) -> Trial | None:
        self._cancel(controller)
        for trial in [trial for trial in self.active if trial.is_finished()]:
            self._give_all_up(trial, Ending("Tune ended it"))  # without a word to its scheduler: no slot must leak
        self._end_hopeless(controller)
        ready = self._next()
        self._first = [one for one in self._first if one in self.active and one.status == Trial.PENDING]
        if self._first:
            return self._first[0]
        while ready is not None and len(self.active) < self.slots + self._ahead():
            if self.elsewhere.take(ready):
                return ready[2]
            heapq.heappop(self._heap)
            ready = self._next()
        return None

    def _next(self) -> Ready | None:
        """Return the best of the trials that could begin, once those that Tune has taken meanwhile are counted."""
        while self._heap and self._heap[0][2].status != Trial.PAUSED:
            trial = heapq.heappop(self._heap)[2]
            if not trial.is_finished():
                self.active.setdefault(trial, time.monotonic())
        return self._heap[0] if self._heap else None

    def on_trial_result(self, controller: Controller, trial: Trial, result: dict[str, Any]) -> str:
        ending = self._ending(result)
        if ending is None or not ending.failed:
            self._finish(result["key"], diverged=result["diverged_at"] is not None)
        if ending is None:
            return CONTINUE
        self._give_up(self.jobs[result["key"]], ending)
        if any(self._goes_on(job) for job in jobs_of(trial)):
            return CONTINUE
        self._release(trial)
        return STOP

    def on_trial_complete(self, controller: Controller, trial: Trial, result: dict[str, Any]) -> None:
        self._release(trial)

    def on_trial_error(self, controller: Controller, trial: Trial) -> None:
        if trial.status != Trial.ERROR:  # ERROR here means that Tune requeues it next; RUNNING, that it has given up
            self._give_all_up(trial, Ending("its process died again and again"))

    def on_trial_remove(self, controller: Controller, trial: Trial) -> None:
        self._give_all_up(trial, Ending("it was stopped"))

    def debug_string(self) -> str:
        return f"{min(len(self.active), self.slots)} of {self.slots} slots in use, {len(self._heap)} trials ready"

    def unplaced(self) -> dict[str, float]:
        """Return {job: for how many seconds} of trials that have a slot and no process yet."""
        having, now = [*self.active.items()][: self.slots], time.monotonic()
        return {jobs_of(trial)[0].id: now - since for trial, since in having if trial.status == Trial.PENDING}

    def _ahead(self) -> int:
        """Return how many trials are staged beyond the slots: none of the last ones that others could begin now."""
        return self.ahead if not self.elsewhere.waiting or len(self._heap) > self.slots else 0

    def _room(self) -> int:
        return self.room() if callable(self.room) else self.room

    # Keys -------------------------------------------------------------------------------------------------------

    def _ending(self, result: Mapping[str, Any]) -> Ending | None:
        """Return why a trial ends with this result; None where it goes on."""
        if reason := result.get("failed"):
            return Ending(reason)
        reason = ending(result["diverged_at"], result["judged"], self.stop_rules.get(result["key"]))
        return Ending(reason, failed=False) if reason else None

    def _finish(self, key: str, diverged: bool) -> None:
        self.done.add(key)
        if diverged:
            self.diverged.add(key)
        waiting = self._waiting.pop(key, [])
        for job in (job for job in waiting if job.id not in self.endings):
            if self._serves(key, job):
                self._missing[job.id].discard(key)
                self._push_if_ready(self._trials[job.id])
            else:
                self._waiting.setdefault(key, []).append(job)

    def _serves(self, key: str, job: Job) -> bool:
        """Return whether a job that needs `key` can have it: what diverged has a mask to branch from, but no
        weights.
        """
        return key in self.done and (key not in self.diverged or key in job.masks)

    def _goes_on(self, job: Job) -> bool:
        return job.id not in self.endings and any(piece.key not in self.done for piece in job.pieces)

    def _push_if_ready(self, trial: Trial) -> None:
        jobs = jobs_of(trial)
        if trial.status == Trial.PAUSED and not any(self._missing[job.id] for job in jobs):
            priority = max(self.priorities.get(job.id, 0) for job in jobs)
            heapq.heappush(self._heap, (-priority, jobs[0].id, trial))

    def _give_up(self, job: Job, ending: Ending, passed_on: Ending | None = None) -> None:
        """End `job` here: what it has not done will not be done.

        passed_on: what its dependents are told.
        """
        if job.id in self.endings:
            return
        self.endings[job.id] = ending
        passed_on = passed_on or Ending(f"{job.id} ended early: {ending.reason}", ending.failed)
        for key in (piece.key for piece in job.pieces if piece.key not in self.done or piece.key in self.diverged):
            self.undone[key] = passed_on
            self._hopeless.append(key)
        trial = self._trials[job.id]
        jobs = jobs_of(trial)
        if len(jobs) > 1:
            jobs.remove(job)
            if self._missing[job.id]:  # else the trial is ready by now, or still waits for the others' needs
                self._push_if_ready(trial)

    def _give_all_up(self, trial: Trial, ending: Ending) -> None:
        self._release(trial)
        for job in [job for job in jobs_of(trial) if self._goes_on(job)]:
            self._give_up(job, ending)

    def _release(self, trial: Trial) -> None:
        self.elsewhere.give_back(trial)
        had_a_slot, now = trial in [*self.active][: self.slots], time.monotonic()
        since = self.active.pop(trial, now)
        if had_a_slot:
            self.busy_s += now - since
            for next_one in [*self.active][self.slots - 1 : self.slots]:
                self.active[next_one] = now
            self._first = self._without_a_process()

    def _without_a_process(self) -> list[Trial]:
        """Return active trials that the process that falls free is for: not those whose own is starting."""
        pending = [one for one in self.active if one.status == Trial.PENDING]
        starting = max(0, self.slots - 1 - (len(self.active) - len(pending)))
        return pending[starting:]

    def _end_hopeless(self, controller: Controller) -> None:
        """End the jobs that wait for a key that will never be done, and so on: all are told the first cause."""
        while self._hopeless:
            key = self._hopeless.popleft()
            for job in self._waiting.pop(key, ()):
                if self._goes_on(job):
                    self._end(controller, job, self.undone[key], self.undone[key])

    def _end(self, controller: Controller, job: Job, ending: Ending, passed_on: Ending | None = None) -> None:
        """End `job`, and its trial where none of the others goes on.

        Not by controller.stop_trial: that gives no reason, and keeps a process for reuse whose training goes on.
        """
        trial = self._trials[job.id]
        self._give_up(job, ending, passed_on)
        if trial.is_finished() or any(self._goes_on(other) for other in jobs_of(trial)):
            return
        error = tune.TuneError(ending.reason)
        trial.handle_error(error)
        controller._schedule_trial_stop(trial, exception=error)
        controller.search_alg.on_trial_complete(trial.trial_id, error=True)
        self._release(trial)

    def _cancel(self, controller: Controller) -> None:
        now = time.monotonic()
        if now - self._polled < CANCEL_POLL_S:
            return
        self._polled = now
        self.slots = self._room()
        for ready in self.elsewhere.returned():
            heapq.heappush(self._heap, ready)
        for lineage in self.cancelled():
            trial = self._trials.get(lineage)
            job = next((job for job in jobs_of(trial) if job.id == lineage), None) if trial else None
            if job is not None and self._goes_on(job):
                self._end(controller, job, Ending("it was cancelled", failed=False))

"""Which trial runs next: one whose needs are all in the store, on the longest chain of training that is left."""

import heapq
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from lth_ray.running.results import Ending

CONTINUE: str = TrialScheduler.CONTINUE
STOP: str = TrialScheduler.STOP
Controller = Any  # Tune's own, private class
CANCEL_POLL_S = 2.0


class LineageScheduler(TrialScheduler):
    """Holds every trial back until what it needs is done, and runs at most `slots` at a time: a number, or what gives
    it as a cluster grows and shrinks.

    A trial is added PAUSED, before Tune files it by its status, and so needs no actor until it is chosen: Tune
    itself starts every PENDING one. No hook looks at all trials, so that a decision costs the same among thousands.
    What a failed, cancelled or diverged trial leaves undone ends its dependents, and theirs, with the reason.

    ahead: so many trials beyond `slots` are staged before there is room. Tune hands the process of a finished trial on
        only while another one is staged, and else starts a new one, which takes it seconds.
    priorities: steps on the chain that each job begins. stop_below: {key: the accuracy under which its job ends there}.
    cancelled: asked from time to time for the lineages that a user has cancelled.
    """

    _supports_buffered_results = False

    def __init__(
        self,
        slots: int | Callable[[], int],
        priorities: Mapping[str, int],
        stop_below: Mapping[str, float] | None = None,
        cancelled: Callable[[], set[str]] = set,
        ahead: int = 0,
    ) -> None:
        super().__init__()
        self.room = slots
        self.slots, self.ahead = self._room(), ahead
        self.priorities, self.stop_below, self.cancelled = priorities, stop_below or {}, cancelled
        self.done: set[str] = set()  # keys that are in the store
        self.diverged: set[str] = set()  # those of `done` that end in NaN
        self.undone: dict[str, Ending] = {}  # key -> why it will never be done
        self.endings: dict[str, Ending] = {}  # job -> why it ended before its last task
        # staged when a process fell free: one of them is to have it, and none that came later
        self._first: list[Trial] = []
        self.active: dict[Trial, float] = {}  # trial -> when it got its slot; the first `slots` have one
        self.busy_s = 0.0  # slot-seconds of trials that have ended
        self._missing: dict[str, set[str]] = {}
        self._waiting: dict[str, list[Trial]] = {}
        self._heap: list[tuple[int, str, Trial]] = []
        self._trials: dict[str, Trial] = {}
        self._hopeless: deque[str] = deque()  # keys of `undone` whose dependents are still to be ended
        self._polled = 0.0

    @property
    def spent_s(self) -> float:
        """Seconds of slots in use so far."""
        return self.busy_s + sum(time.monotonic() - since for since in [*self.active.values()][: self.slots])

    # Tune's hooks -----------------------------------------------------------------------------------------------

    def on_trial_add(self, controller: Controller, trial: Trial) -> None:
        if trial.trial_id in self._missing:  # requeued after a fault: it stays PENDING and keeps its slot
            return
        trial.set_status(Trial.PAUSED)
        trial.init_local_path()  # else Tuner.fit raises in the end for a trial that never started
        job = trial.config["trial"]["job"]
        self._trials[job.id] = trial
        self._missing[trial.trial_id] = {need for need in job.needs if not self._serves(need, trial)}
        for need in self._missing[trial.trial_id]:
            self._waiting.setdefault(need, []).append(trial)
            if need in self.undone:  # its producer ended before this one was added
                self._hopeless.append(need)
        self._push_if_ready(trial)

    def choose_trial_to_run(self, controller: Controller) -> Trial | None:
        self._cancel(controller)
        for trial in [trial for trial in self.active if trial.is_finished()]:
            self._give_up(trial, Ending("Tune ended it"))  # without a word to its scheduler: its slot must not leak
        self._end_hopeless(controller)
        while self._heap and self._heap[0][2].status != Trial.PAUSED:  # Tune has taken the one returned last
            trial = heapq.heappop(self._heap)[2]
            if not trial.is_finished():
                self.active.setdefault(trial, time.monotonic())
        self._first = [one for one in self._first if one in self.active and one.status == Trial.PENDING]
        if self._first:
            return self._first[0]
        return self._heap[0][2] if self._heap and len(self.active) < self.slots + self.ahead else None

    def on_trial_result(self, controller: Controller, trial: Trial, result: dict[str, Any]) -> str:
        ending = self._ending(result)
        if ending is None or not ending.failed:
            self._finish(result["key"], diverged=result["diverged_at"] is not None)
        if ending is None:
            return CONTINUE
        self._give_up(trial, ending)
        return STOP

    def on_trial_complete(self, controller: Controller, trial: Trial, result: dict[str, Any]) -> None:
        self._release(trial)

    def on_trial_error(self, controller: Controller, trial: Trial) -> None:
        if trial.status != Trial.ERROR:  # ERROR here means that Tune requeues it next; RUNNING, that it has given up
            self._give_up(trial, Ending("its process died again and again"))

    def on_trial_remove(self, controller: Controller, trial: Trial) -> None:
        self._give_up(trial, Ending("it was stopped"))

    def debug_string(self) -> str:
        return f"{min(len(self.active), self.slots)} of {self.slots} slots in use, {len(self._heap)} trials ready"

    def _room(self) -> int:
        return self.room() if callable(self.room) else self.room

    # Keys -------------------------------------------------------------------------------------------------------

    def _ending(self, result: Mapping[str, Any]) -> Ending | None:
        """Why a trial ends with this result; None where it goes on."""
        if reason := result.get("failed"):
            return Ending(reason)
        if result["diverged_at"] is not None:
            return Ending(f"its loss became NaN or infinite by step {result['diverged_at']}", failed=False)
        accuracy, below = result["accuracy"], self.stop_below.get(result["key"])
        if below is not None and accuracy is not None and accuracy < below:
            return Ending(f"its accuracy {accuracy:.4f} is under stop_below = {below}", failed=False)
        return None

    def _finish(self, key: str, diverged: bool) -> None:
        self.done.add(key)
        if diverged:
            self.diverged.add(key)
        waiting = self._waiting.pop(key, [])
        for trial in waiting:
            if self._serves(key, trial):
                self._missing[trial.trial_id].discard(key)
                self._push_if_ready(trial)
            else:
                self._waiting.setdefault(key, []).append(trial)

    def _serves(self, key: str, trial: Trial) -> bool:
        """Whether a trial that needs `key` can have it: what diverged has a mask to branch from, but no weights."""
        return key in self.done and (key not in self.diverged or key in trial.config["trial"]["job"].masks)

    def _push_if_ready(self, trial: Trial) -> None:
        if not self._missing[trial.trial_id] and trial.status == Trial.PAUSED:
            job = trial.config["trial"]["job"]
            heapq.heappush(self._heap, (-self.priorities.get(job.id, 0), job.id, trial))

    def _give_up(self, trial: Trial, ending: Ending, passed_on: Ending | None = None) -> None:
        """`trial` ends here: what it has not done will not be done. passed_on: what its dependents are told."""
        job = trial.config["trial"]["job"]
        self._release(trial)
        if job.id in self.endings:
            return
        self.endings[job.id] = ending
        passed_on = passed_on or Ending(f"{job.id} ended early: {ending.reason}", ending.failed)
        for key in (task.key for task in job.tasks if task.key not in self.done or task.key in self.diverged):
            self.undone[key] = passed_on
            self._hopeless.append(key)

    def _release(self, trial: Trial) -> None:
        had_a_slot, now = trial in [*self.active][: self.slots], time.monotonic()
        since = self.active.pop(trial, now)
        if had_a_slot:
            self.busy_s += now - since
            for next_one in [*self.active][self.slots - 1 : self.slots]:
                self.active[next_one] = now
            self._first = self._without_a_process()

    def _without_a_process(self) -> list[Trial]:
        """Active trials that the process that falls free is for: not those whose own is starting."""
        pending = [one for one in self.active if one.status == Trial.PENDING]
        starting = max(0, self.slots - 1 - (len(self.active) - len(pending)))
        return pending[starting:]

    def _end_hopeless(self, controller: Controller) -> None:
        """Ends the trials that wait for a key that will never be done, and so on: all are told the first cause."""
        while self._hopeless:
            key = self._hopeless.popleft()
            for trial in self._waiting.pop(key, ()):
                if not trial.is_finished():
                    self._end(controller, trial, self.undone[key], self.undone[key])

    def _end(self, controller: Controller, trial: Trial, ending: Ending, passed_on: Ending | None = None) -> None:
        """Not by controller.stop_trial: that gives no reason, and keeps a process for reuse whose training goes on."""
        error = tune.TuneError(ending.reason)
        trial.handle_error(error)
        controller._schedule_trial_stop(trial, exception=error)
        controller.search_alg.on_trial_complete(trial.trial_id, error=True)
        self._give_up(trial, ending, passed_on)

    def _cancel(self, controller: Controller) -> None:
        now = time.monotonic()
        if now - self._polled < CANCEL_POLL_S:
            return
        self._polled = now
        self.slots = self._room()
        for lineage in self.cancelled():
            trial = self._trials.get(lineage)
            if trial is not None and not trial.is_finished() and lineage not in self.endings:
                self._end(controller, trial, Ending("it was cancelled", failed=False))

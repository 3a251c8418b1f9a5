"""The jobs that other runs on the same storage are at, and which are theirs until they are done, or the run is gone."""

from collections.abc import Callable, Mapping
from typing import Any

from ray.tune.experiment import Trial

from lth_ray.lottery import Job
from lth_ray.store import StorageError
from lth_ray.store.claims import Claims

Ready = tuple[int, str, Trial]  # a trial that could begin: first the one with most steps on its chain, then by name


class Elsewhere:
    """The trials that could begin but for a claim of another run on one of their jobs.

    claims: None where this run is alone.
    told: called with {job: who is at it} as that changes.
    """

    def __init__(
        self, claims: Claims | None = None, told: Callable[[Mapping[str, str]], None] = lambda _: None
    ) -> None:
        self.claims, self.told = claims, told
        self.waiting: list[Ready] = []
        self._taken: dict[Trial, list[str]] = {}  # the keys of what this run has claimed

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing: Tune pickles its scheduler into a snapshot, which is never restored from."""
        return {}

    def take(self, ready: Ready) -> bool:
        """Claim all jobs of a trial; return False, and keep it here, where another run is at one of them."""
        trial = ready[2]
        if self.claims is None or trial in self._taken:
            return True
        taken = self._taken[trial] = list[str]()
        for job in jobs_of(trial):
            if not self.claims.take(_key(job), job.id):
                self.give_back(trial)
                self.waiting.append(ready)
                return False
            taken.append(_key(job))
        return True

    def give_back(self, trial: Trial) -> None:
        """Let go of a trial's jobs."""
        for key in self._taken.pop(trial, ()):
            if self.claims is not None:
                self.claims.give_back(key)

    def returned(self) -> list[Ready]:
        """Return the trials of which no other run is at a job any more: it is done, or is to be done."""
        if self.claims is None:
            return []
        self.claims.remove_left()
        if not self.waiting:
            return []
        self.waiting = [ready for ready in self.waiting if not ready[2].is_finished()]  # as one that was cancelled
        try:
            others = self.claims.of_others()
        except StorageError:  # asked again in a moment
            return []
        named = {
            job.id: f"pid {others[_key(job)][1].pid} on {others[_key(job)][1].host}"
            for ready in self.waiting
            for job in jobs_of(ready[2])
            if _key(job) in others
        }
        self.told(named)
        free = [ready for ready in self.waiting if not any(_key(job) in others for job in jobs_of(ready[2]))]
        self.waiting = [ready for ready in self.waiting if ready not in free]
        return free


def jobs_of(trial: Trial) -> list[Job]:
    """Return those that a trial carries: of several without those that have ended, while there are others."""
    jobs: list[Job] = trial.config["trial"]["jobs"]
    return jobs


def _key(job: Job) -> str:
    """Return the key that stands for a job in every run, however much of it was done when that was planned."""
    return job.pieces[-1].key

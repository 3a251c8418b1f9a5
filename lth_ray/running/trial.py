"""A trial: the pieces of one job in turn, or of several side by side; each is reported when its record is stored."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from ray import tune

from lth_ray import probes
from lth_ray.config import ConfigError
from lth_ray.config.blame import in_one_line
from lth_ray.lottery import Job, Outcome, Piece, carry_out_all, in_lockstep, measurements
from lth_ray.running.settings import Settings
from lth_ray.store import StorageError
from lth_ray.training import accelerator
from lth_ray.training.process import keep_memory, spare_dynamo


class Given(dict[str, Any]):
    """The config of a trial: its "jobs", and of "settings" those that it is to know.

    Tune copies a trial's config several times, names the trial by it, and sends it along with each result. Neither jobs
    nor settings change; of the list of jobs each copy has its own.
    """

    @classmethod
    def of(cls, jobs: Sequence[Job], settings: Settings) -> "Given":
        """Return what `jobs` need: of the settings the stop rules of their own pieces alone."""
        rules = {p.key: settings.stop_rules[p.key] for job in jobs for p in job.pieces if p.key in settings.stop_rules}
        return cls(jobs=[*jobs], settings=replace(settings, stop_rules=rules))

    def __deepcopy__(self, _: object) -> "Given":
        return Given(jobs=[*self["jobs"]], settings=self["settings"])

    def __repr__(self) -> str:
        return ", ".join(job.id for job in self["jobs"])


def trial(config: dict[str, Any]) -> None:
    """Do a trial, as the Tune trainable.

    One that is started again after a fault reports again what is in the store, and goes on.
    """
    spare_dynamo()
    keep_memory()
    jobs, settings = config["jobs"], config["settings"]
    done = _by_workers(jobs[0], settings) if settings.workers.number else _here(settings)
    left = {job.id for job in jobs}
    for now in in_lockstep(jobs, lambda: left - (settings.cancelled() if len(jobs) > 1 else set())):
        began = time.monotonic()
        outcomes: Sequence[Outcome | Exception]
        try:
            outcomes = done([piece for _, piece in now])
        except Exception as error:  # reported, so that it is not mistaken for a lost process and tried again
            outcomes = [error] * len(now)
        for (job, piece), outcome in zip(now, outcomes, strict=True):
            probes.point("unreported")
            if isinstance(outcome, Exception):
                if accelerator.is_beyond_use(outcome):
                    raise outcome  # the next job would meet it too: this process ends, and the job goes on in another
                tune.report({"failed": described(outcome), "key": piece.key})
                left.discard(job.id)
                continue
            tune.report({**summary(job, piece, outcome), "wall_s": time.monotonic() - began})
            if settings.ends_after(piece.key, outcome.record):
                left.discard(job.id)


def _here(settings: Settings) -> Callable[[list[Piece]], list[Outcome | Exception]]:
    """Return what does pieces of one shape in this process."""
    torch.set_num_threads(settings.workers.threads)
    device = "cuda" if settings.workers.gpus else "cpu"
    accelerator.same_bits(torch.device(device))
    accelerator.compile_by(settings.workers.threads)

    def done(pieces: list[Piece]) -> list[Outcome | Exception]:
        accelerator.check_there(settings.workers.gpus)
        dataset = settings.dataset(pieces[0].recipe, device)
        with settings.clock(*(piece.key for piece in pieces)) as clock:
            return carry_out_all(pieces, settings.store, dataset, device, clock)

    return done


def _by_workers(job: Job, settings: Settings) -> Callable[[list[Piece]], list[Outcome | Exception]]:
    """Return what does the job's pieces in turn by workers of its own; no others are done beside it."""
    from lth_ray.running.worker import fit

    outcomes: Iterator[Outcome] = fit(job.pieces, settings, settings.workers.gpu_type(job))
    return lambda _: [next(outcomes)]


def summary(job: Job, piece: Piece, outcome: Outcome) -> dict[str, Any]:
    """Return what the driver is told of a finished piece."""
    found: dict[str, Any] = {
        "key": piece.key,
        "trained_steps": outcome.trained_steps,
        "seconds": outcome.seconds,
        "training_s": outcome.training_s,
        "taken_up": outcome.taken_up,
        "whole_steps": None,
        "scoring_flops": None,
        "diverged_at": None,
        "judged": None,
        "test": None,
        "remaining_weights": None,
        "cut": None,
    }
    if outcome.record is not None:
        measured, metric = measurements(outcome.record), piece.recipe.task.metric
        found |= {name: measured[name] for name in ("diverged_at", "remaining_weights", "cut")}
        found |= {"judged": metric.judged(measured), "test": measured[metric.column("test")]}
        found["whole_steps"] = outcome.record.train_steps
        found["scoring_flops"] = getattr(outcome.record, "scoring_flops", None)
        found["error_barrier"] = measured.get("lmc_error_barrier")
    return found


class Failed(RuntimeError):
    """A piece that failed in a worker; the message is what `described` made of it."""


def described(error: Exception) -> str:
    """Return an error in words: our own messages say what to do; of another the user's own line is named with
    it.
    """
    if isinstance(error, (ConfigError, StorageError, Failed)):
        return str(error)
    return in_one_line(error)

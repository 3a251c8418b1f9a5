"""A trial: one job's tasks, one after another, each reported when its record is in the store."""

import time
import traceback
from pathlib import Path
from typing import Any

import torch
from ray import tune

from lth_ray import data, probes
from lth_ray.config import ConfigError
from lth_ray.lottery import AnyTask, Job, Outcome, carry_out, measurements, stored
from lth_ray.lottery.tickets import MissingState
from lth_ray.running.settings import Settings
from lth_ray.store import StorageError


def trial(config: dict[str, Any]) -> None:
    """The Tune trainable. One that is started again after a fault reports again what is in the store, and goes on."""
    job, settings = config["job"], config["settings"]
    for task in job.tasks:
        began = time.monotonic()
        try:
            outcome = _carried_out(task, job, settings)
        except Exception as error:  # reported, so that it is not mistaken for a lost process and tried again
            tune.report({"failed": described(error), "key": task.key})
            return
        probes.point("unreported")
        tune.report({**summary(job, task, outcome), "wall_s": time.monotonic() - began})
        if outcome.record is not None and outcome.record["diverged_at"] is not None:
            return


def _carried_out(task: AnyTask, job: Job, settings: Settings) -> Outcome:
    try:
        return _done(task, job, settings)
    except MissingState:  # a second run of the study may just have finished this, and removed what it started from
        return _done(task, job, settings)


def _done(task: AnyTask, job: Job, settings: Settings) -> Outcome:
    """In this process, or by workers of its own."""
    if settings.workers.number:
        from lth_ray.running.worker import fit

        return stored(task, settings.store) or fit(task, settings, settings.workers.gpu_type(job))
    torch.set_num_threads(settings.workers.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dataset = data.load(task.recipe.data, settings.data_root, device, settings.workers.loaders)
    with settings.clock(task.key) as clock:
        return carry_out(task, settings.store, dataset, device, clock)


def described(error: Exception) -> str:
    """An error in one line: our own messages say what to do; another's place in the code is named with it."""
    if isinstance(error, (ConfigError, StorageError)):
        return str(error)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(frame.filename).name}, line {frame.lineno}, in {frame.name})"


def summary(job: Job, task: AnyTask, outcome: Outcome) -> dict[str, Any]:
    """What the driver is told of a finished task."""
    found: dict[str, Any] = {
        "key": task.key, "trained_steps": outcome.trained_steps, "seconds": outcome.seconds, "diverged_at": None,
        "accuracy": None, "test_accuracy": None, "remaining_weights": None,
    }  # fmt: skip
    if outcome.record is not None:
        measured = measurements(outcome.record)
        accuracy = measured["validation_accuracy"]
        found |= {name: measured[name] for name in ("diverged_at", "test_accuracy", "remaining_weights")}
        found["error_barrier"] = measured.get("lmc_error_barrier")
        found["accuracy"] = measured["test_accuracy"] if accuracy is None else accuracy
    return found

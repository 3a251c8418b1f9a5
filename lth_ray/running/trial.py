"""A trial: one job's tasks, one after another, each reported when its record is in the store."""

import time
from collections.abc import Iterator
from typing import Any

import torch
from ray import tune

from lth_ray import data, probes
from lth_ray.lottery import AnyTask, Job, Outcome, carry_out, measurements
from lth_ray.running.failures import described
from lth_ray.running.imports import spare_dynamo
from lth_ray.running.settings import Settings
from lth_ray.training.memory import keep_memory


def trial(config: dict[str, Any]) -> None:
    """The Tune trainable. One that is started again after a fault reports again what is in the store, and goes on."""
    spare_dynamo()
    keep_memory()
    job, settings = config["job"], config["settings"]
    outcomes = _outcomes(job, settings)
    for task in job.tasks:
        began = time.monotonic()
        try:
            outcome = next(outcomes, None)
        except Exception as error:  # reported, so that it is not mistaken for a lost process and tried again
            tune.report({"failed": described(error), "key": task.key})
            return
        if outcome is None:
            return
        probes.point("unreported")
        tune.report({**summary(job, task, outcome), "wall_s": time.monotonic() - began})
        if settings.ends_after(task.key, outcome.record):
            return


def _outcomes(job: Job, settings: Settings) -> Iterator[Outcome]:
    """What comes of the job's tasks in turn: in this process, or by workers of its own."""
    if settings.workers.number:
        from lth_ray.running.worker import fit

        yield from fit(job.tasks, settings, settings.workers.gpu_type(job))
        return
    torch.set_num_threads(settings.workers.threads)
    device = "cuda" if settings.workers.gpus and torch.cuda.is_available() else "cpu"
    for task in job.tasks:
        dataset = data.load(task.recipe.data, settings.data_root, device, settings.workers.loaders)
        with settings.clock(task.key) as clock:
            yield carry_out(task, settings.store, dataset, device, clock)


def summary(job: Job, task: AnyTask, outcome: Outcome) -> dict[str, Any]:
    """What the driver is told of a finished task."""
    found: dict[str, Any] = {
        "key": task.key, "trained_steps": outcome.trained_steps, "seconds": outcome.seconds,
        "training_s": outcome.training_s, "diverged_at": None, "accuracy": None, "test_accuracy": None,
        "remaining_weights": None,
    }  # fmt: skip
    if outcome.record is not None:
        measured = measurements(outcome.record)
        accuracy = measured["validation_accuracy"]
        found |= {name: measured[name] for name in ("diverged_at", "test_accuracy", "remaining_weights")}
        found["error_barrier"] = measured.get("lmc_error_barrier")
        found["accuracy"] = measured["test_accuracy"] if accuracy is None else accuracy
    return found

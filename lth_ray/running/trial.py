"""A trial: one job's tasks, one after another, each reported when its record is in the store."""

import json
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ray import tune

from lth_ray import data, probes
from lth_ray.config import ConfigError
from lth_ray.lottery import AnyTask, Job, Outcome, carry_out, measurements
from lth_ray.lottery.tickets import MissingState
from lth_ray.store import StorageError, Store

POINTER = "pointer.json"


@dataclass(frozen=True)
class Settings:
    """What every trial of a run is given beside its job."""

    store: Store
    data_root: str | None
    checkpoint_every_s: float
    threads: int = 1


def trial(config: dict[str, Any]) -> None:
    """The Tune trainable. A trial that is started again after a fault goes on where its last report points to."""
    job, settings = config["job"], config["settings"]
    torch.set_num_threads(settings.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for number in range(_reported(), len(job.tasks)):
        task = job.tasks[number]
        began = time.monotonic()
        try:
            outcome = _carried_out(task, settings, device)
        except Exception as error:  # reported, so that it is not mistaken for a lost process and tried again
            report({"failed": described(error), "key": task.key}, number)
            return
        probes.point("unreported")
        report({**summary(job, task, outcome), "wall_s": time.monotonic() - began}, number + 1)
        if outcome.record is not None and outcome.record["diverged_at"] is not None:
            return


def _carried_out(task: AnyTask, settings: Settings, device: str) -> Outcome:
    dataset = data.load(task.recipe.data, settings.data_root, device)
    try:
        return carry_out(task, settings.store, dataset, device, settings.checkpoint_every_s)
    except MissingState:  # a second run of the study may just have finished this, and removed what it started from
        return carry_out(task, settings.store, dataset, device, settings.checkpoint_every_s)


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


def report(metrics: dict[str, Any], reported: int) -> None:
    """Reports to Tune with a checkpoint that is a pointer: how many tasks are done; their content is in the store."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, POINTER).write_text(json.dumps({"reported": reported, "key": metrics["key"]}))
        tune.report(metrics, checkpoint=tune.Checkpoint.from_directory(folder))


def _reported() -> int:
    checkpoint = tune.get_checkpoint()
    if checkpoint is None:
        return 0
    with checkpoint.as_directory() as folder:
        return int(json.loads(Path(folder, POINTER).read_text())["reported"])

"""What a study would cost here: steps, and the time and space they take by a short timing of this machine."""

import time
from dataclasses import dataclass, replace
from typing import Any

import torch

from lth_ray.config import ConfigError
from lth_ray.lottery import Plan, TableTask, Task, bundles
from lth_ray.lottery.realise import build
from lth_ray.running.imports import spare_dynamo
from lth_ray.training import Clock, Recipe, Run, fuse, train
from lth_ray.training.segment import measure

TIMED_S, EVALUATED_S = 0.15, 0.05
TIMED_IMAGES = 256
PACE = (  # fields of Train that a step's time depends on
    "optimizer", "precision", "batch_norm_group", "ema_decay", "clip_norm", "channels_last", "compile", "backend",
    "replicates", "loss", "step",
)  # fmt: skip


@dataclass(frozen=True)
class Estimate:
    """seconds: of training and evaluation for what is left, on `slots` trials at a time. core_hours: of the same, all
    of it. state_bytes: of storage."""

    seconds: float
    core_hours: float
    slots: int
    state_bytes: int


def estimate(plan: Plan, data_root: str | None, slots: int) -> Estimate:
    """Times a few steps and evaluations of each recipe on this machine, with one thread as a trial has."""
    spare_dynamo()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        measured: dict[int, tuple[float, float, int]] = {}
        seconds, size = 0.0, 0
        together = bundles(plan.jobs)
        for task in (task for bundle in together for job in bundle for task in job.tasks):
            if isinstance(task, TableTask):
                continue  # seconds against minutes
            recipe = task.recipe
            if id(recipe) not in measured:
                measured[id(recipe)] = _timed(recipe, data_root)
            step_s, evaluation_s, state_bytes = measured[id(recipe)]
            segment = task.segment
            evaluations = len(recipe.evaluation_steps(segment.first, segment.last)) if task.measured else 0
            seconds += segment.num_steps * step_s + evaluations * evaluation_s
            size += _kept_bytes(task, state_bytes)
        longest = max(plan.priorities.values(), default=0) / max(1, plan.remaining_steps)  # of a chain, as a share
        longest = min(1.0, longest * max(map(len, together), default=1))
        return Estimate(seconds * max(1 / slots, longest), seconds / 3600, slots, size)
    finally:
        torch.set_num_threads(threads)


_timings: dict[str, tuple[float, float, int]] = {}


def _timed(recipe: Recipe, data_root: str | None) -> tuple[float, float, int]:
    """(seconds a step, seconds an evaluation, bytes of a state)"""
    name = f"{recipe.model.name} {recipe.model.options} {recipe.data} {[getattr(recipe.train, of) for of in PACE]}"
    if name not in _timings:
        dataset = recipe.task.load(data_root)
        batches = recipe.task.stream(dataset, 0, 0)
        run = Run("timing", recipe, build(recipe, seed=0), batches, 0, None, 0)
        run.fused = fuse(run)
        train(run, 2)
        began, before = time.monotonic(), run.step
        train(run, recipe.total_steps, Clock(TIMED_S))
        step_s = (time.monotonic() - began) / max(1, run.step - before)
        size = sum(value.numel() * value.element_size() for value in run.model.state_dict().values())
        _timings[name] = step_s, _evaluation_s(run, dataset, recipe), size
    return _timings[name]


def _evaluation_s(run: Run, dataset: Any, recipe: Recipe) -> float:
    """Of the validation and the test set together, by some of the test set, in the way that training takes."""
    batch = dataset.test.first(TIMED_IMAGES)
    if not len(batch):
        raise ConfigError(f"Data.name = {recipe.data.called!r}: its test set is empty")
    alone, images = replace(dataset, validation=None, test=batch), 0
    measure(run, alone, {})  # reserves memory
    began = time.monotonic()
    while not images or time.monotonic() - began < EVALUATED_S:
        measure(run, alone, {})
        images += len(batch)
    each = (time.monotonic() - began) / images
    return each * sum(len(split) for split in recipe.task.splits(dataset).values())


def _kept_bytes(task: Task, state_bytes: int) -> int:
    return len(task.states) * state_bytes * (3 if task.resumable else 1)

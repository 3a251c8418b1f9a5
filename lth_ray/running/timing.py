"""The time of a step and an evaluation of a recipe, by a short timing of this machine."""

import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from lth_ray.config import ConfigError, Prune, meaning
from lth_ray.config.once import once_each
from lth_ray.lottery.branches.lengths import expected_mask
from lth_ray.lottery.execution.networks import build
from lth_ray.training import Clock, Recipe, Run, fuse, replicate, train, train_together
from lth_ray.training.segment import measure

TIMED_S, EVALUATED_S = 0.15, 0.05
TIMED_IMAGES = 256
PACE = (  # fields of Train that a step's time depends on
    "optimizer",
    "precision",
    "batch_norm_group",
    "ema_decay",
    "average_from",
    "sam_radius",
    "clip_norm",
    "channels_last",
    "compile",
    "backend",
    "replicates",
    "loss",
    "step",
)


@dataclass(frozen=True)
class Timing:
    """The seconds of a step and of an evaluation, of one network where several are trained together; bytes of
    a state.
    """

    step_s: float
    evaluation_s: float
    state_bytes: int


@once_each
def pace_of(recipe: Recipe) -> str:
    """Name what the time of a step depends on."""
    train = meaning(recipe.train)
    return f"{meaning(recipe.model)} {recipe.data} {recipe.evaluate_every} {[train.get(name) for name in PACE]}"


_timings: dict[tuple[str, int], Timing] = {}


def timed(recipe: Recipe, data_root: str | None, prune: Prune, rounds: int) -> Timing:
    """Time a network after so many rounds of pruning, 0 for the dense one; once a process."""
    name = pace_of(recipe), rounds
    if name not in _timings:
        _timings[name] = _timed(recipe, data_root, prune, rounds)
    return _timings[name]


def _timed(recipe: Recipe, data_root: str | None, prune: Prune, rounds: int) -> Timing:
    count = recipe.train.replicates
    dataset = recipe.task.load(data_root)
    batches = recipe.task.stream(dataset, 0, 0)
    models = [build(recipe, seed=0) for _ in range(count)]
    mask = expected_mask(models[0], recipe, prune, rounds) if rounds else None
    runs = [Run("timing", recipe, model, batches, 0, mask, 0) for model in models]
    run = runs[0]
    run.stepper = fuse(run) or run.stepper
    train_on = partial(train_together, replicate(runs)) if count > 1 else partial(train, run)
    train_on(2)
    began, before = time.process_time(), run.step  # of the processor: others may be at work on it now
    train_on(recipe.total_steps, Clock(TIMED_S))
    step_s = (time.process_time() - began) / max(1, run.step - before) / count
    size = sum(value.numel() * value.element_size() for value in run.model.state_dict().values())
    return Timing(step_s, _evaluation_s(run, dataset, recipe), size)


def _evaluation_s(run: Run, dataset: Any, recipe: Recipe) -> float:
    """Time the validation and the test set together, by some of the test set, in the way that training takes."""
    batch = dataset.test.first(TIMED_IMAGES)
    if not len(batch):
        raise ConfigError(f"Data.name = {recipe.data.called!r}: its test set is empty")
    alone, images = replace(dataset, validation=None, test=batch), 0
    measure(run, alone, {})  # reserves memory
    began = time.process_time()
    while not images or time.process_time() - began < EVALUATED_S:
        measure(run, alone, {})
        images += len(batch)
    each = (time.process_time() - began) / images
    return each * sum(len(split) for split in recipe.task.splits(dataset).values())

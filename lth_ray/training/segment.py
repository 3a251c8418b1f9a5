"""A segment: one piece of training from step a to step b, paused wherever something is to be kept."""

import copy
import math
from collections.abc import Iterator, Mapping, Set
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import torch

from lth_ray.config import Metric, subseed
from lth_ray.pruning import Mask, Regrowth
from lth_ray.store import Tensors
from lth_ray.tasks import Evaluation
from lth_ray.tasks.base import Loaded
from lth_ray.training import averages
from lth_ray.training.carried import CARRIED, MASK, gathered, without_carried
from lth_ray.training.clock import Clock
from lth_ray.training.compiled.captured import capture
from lth_ray.training.compiled.fused import fuse
from lth_ray.training.compiled.sparse_linear import sparse_linear
from lth_ray.training.groups.synchronised import synchronise
from lth_ray.training.loop import Run, is_finite, seed_dropout, train
from lth_ray.training.optimizers import lay_out, mask_optimizer
from lth_ray.training.recipe import Recipe
from lth_ray.training.regrowing import Regrowing, held_mask
from lth_ray.training.shrunk import shrunk
from lth_ray.training.team import ALONE, Team

Journal = dict[str, list[Any]]


def columns(metric: Metric) -> tuple[str, ...]:
    """Return the columns of every journal."""
    splits = (name for split in ("validation", "test") for name in (f"{split}_loss", metric.column(split)))
    return ("step", "epoch", "lr", "train_loss", *splits)


@dataclass(frozen=True)
class Seeds:
    """The sub-seeds a step depends on."""

    order: int
    augmentation: int
    dropout: int


@dataclass(frozen=True)
class Start:
    """The point from which a segment, or what is left of it, sets out.

    model: weights and buffers.
    optimizer: its state_dict, None for a fresh one.
    journal: what is measured already.
    history: how a changing mask has changed so far.
    """

    step: int
    model: Tensors
    optimizer: dict[str, Any] | None = None
    journal: Journal = field(default_factory=dict)
    loss_sum: float = 0.0
    loss_steps: int = 0
    history: Journal = field(default_factory=dict)


@dataclass(frozen=True)
class Pause:
    """A stop of training after `step` steps; the run's weights may be copied now.

    due: a checkpoint is due.
    finite: False ends the segment (a NaN or infinite loss or weight).
    """

    step: int
    run: Run
    journal: Journal
    due: bool
    finite: bool


def train_segment(
    key: str,
    recipe: Recipe,
    model: torch.nn.Module,
    dataset: Loaded,
    mask: Mask | None,
    seeds: Seeds,
    start: Start,
    last: int,
    *,
    first: int | None = None,
    pauses: frozenset[int] = frozenset(),
    clock: Clock | None = None,
    measured: bool = True,
    frozen: bool = False,
    team: Team = ALONE,
    regrowth: Regrowth | None = None,
    structured: bool = False,
) -> Iterator[Pause]:
    """Train `model` from `start` to step `last`, yielding a Pause at each stop.

    It stops at each evaluation, at each of `pauses`, and when a checkpoint is due. Where and how often it
    pauses changes no result.

    mask: {parameter: bool}, True keeps.
    first: the segment's own first step, where `start` is a checkpoint in its middle.
    measured: False evaluates nothing.
    frozen: pruned weights stay at their values in `start`, not at zero (the mask-0 actions of Zhou et al.
        2019, section 3).
    team: those that train it together, each of which calls this with the same arguments and gets the same
        pauses.
    regrowth: the mask changes on the way, from `mask` on.
    structured: the mask's rule removes whole units.
    """
    first = start.step if first is None else first
    if regrowth is not None and mask is not None:
        mask = held_mask(start.optimizer, mask) if start.step > first else dict(mask)
    run = begin(key, recipe, model, dataset, mask, seeds, start, frozen, team, regrowth)
    quicker = None if regrowth else shrunk(run, structured) or fuse(run) or capture(run) or sparse_linear(run)
    run.stepper = Regrowing(run) if regrowth else quicker or run.stepper
    journal: Journal = {name: list(values) for name, values in start.journal.items()}
    evaluations = set(recipe.evaluation_steps(first, last)) if measured else set()
    clock = (clock or Clock()).join(team, run.device)
    clock.begin(run.step)
    with closing(run.stepper):
        if start.step >= last > first:  # nothing is left of it
            yield Pause(run.step, run, journal, due=False, finite=is_finite(run))
        for stop in stops(evaluations | pauses | {last}, start.step, first, last):
            while True:
                due = train(run, stop, clock)
                finite = is_finite(run)
                if recipe.task.carries:
                    run.carried = gathered(run.batches.carried, team)
                if run.step in evaluations:
                    measure(run, dataset, journal)
                # A diverged segment ends at an evaluation, so that its record does not depend on the other pauses.
                if finite or run.step in evaluations or not measured:
                    yield Pause(run.step, run, journal, due, finite)
                    if not finite:
                        return
                if due:
                    clock.begin(run.step)
                if run.step >= stop:
                    break


def stops(steps: Set[int], at: int, first: int, last: int) -> list[int]:
    """Return those of `steps` that a segment from `first` to `last` still comes to from step `at`; all, if it
    has no step.
    """
    return sorted(step for step in steps if at < step <= last or first == last)


def begin(
    key: str,
    recipe: Recipe,
    model: torch.nn.Module,
    dataset: Loaded,
    mask: Mask | None,
    seeds: Seeds,
    start: Start,
    frozen: bool = False,
    team: Team = ALONE,
    regrowth: Regrowth | None = None,
) -> Run:
    """Return a Run at `start`: weights and optimizer loaded, pruned weights at zero or frozen, their momentum
    at zero.
    """
    recipe.check_workers(team.size)
    masked_start(model, start.model, mask, frozen)
    if start.optimizer is None:
        averages.begin(model)
    if recipe.train.channels_last:
        model.to(memory_format=torch.channels_last)
    if recipe.train.sync_batch_norm:
        synchronise(model, team)
    share = recipe.data.batch_size // team.size
    part = range(team.rank * share, (team.rank + 1) * share)
    batches = recipe.task.stream(dataset, seeds.order, seeds.augmentation, part)
    run = Run(key, recipe, model, batches, seeds.dropout, mask, start.step, frozen, team, regrowth)
    run.history = {name: list(values) for name, values in start.history.items()}
    if start.optimizer is not None:
        optimizer, carried = without_carried(start.optimizer)
        if carried:
            batches.carry_on({name: tensor[part.start : part.stop].to(run.device) for name, tensor in carried.items()})
        run.optimizer.load_state_dict(copy.deepcopy(optimizer))  # which would keep the tensors it is given
        lay_out(run.optimizer)
        mask_optimizer(run.optimizer, run.kept)
    run.loss_sum += start.loss_sum
    run.loss_steps = start.loss_steps
    return run


def stored_beside(run: Run) -> dict[str, Any]:
    """Return what a state holds beside the model: the optimizer's state, and what is carried and a mask that
    changes, where there are any.
    """
    carried = {CARRIED: dict(run.carried)} if run.carried else {}
    changing = {MASK: dict(run.mask or {})} if run.regrowth else {}
    return {**run.optimizer.state_dict(), **carried, **changing}


def masked_start(model: torch.nn.Module, state: Tensors, mask: Mask | None, frozen: bool = False) -> None:
    """Load `state` into `model` with pruned weights at exactly +0.0 or, if frozen, at their values in
    `state`.
    """
    model.load_state_dict(state)
    if mask and not frozen:
        parameters, means = dict(model.named_parameters()), averages.named(model)
        with torch.no_grad():
            for name, kept in mask.items():
                for held in (parameters[name], *([means[name]] if name in means else [])):
                    held.masked_fill_(~kept.to(held.device), 0.0)


def measure(run: Run, dataset: Loaded, journal: Journal) -> None:
    """Append one row of measurements at the run's step to `journal`.

    What a network draws while it is measured depends on (dropout seed, step) alone, and no step of training sees it:
    each seeds its own draws.
    """
    seed_dropout(subseed(run.dropout_seed, "evaluation"), run.step, run.device)
    splits = run.recipe.task.splits(dataset)
    note(run, {name: run.stepper.evaluate(dataset, split)[0] for name, split in splits.items()}, journal)


def note(run: Run, measurements: Mapping[str, Evaluation], journal: Journal) -> None:
    """Append a row of measurements to `journal`, with the mean loss of training since the row before."""
    recipe = run.recipe
    row: dict[str, Any] = {
        "step": run.step,
        "epoch": run.step / recipe.steps_per_epoch if recipe.has_epochs else None,
        "lr": recipe.lr(max(0, run.step - 1)),
        "train_loss": float(run.loss_sum) / run.loss_steps if run.loss_steps else None,
    }
    for name, measured in measurements.items():
        row |= {f"{name}_loss": measured.loss, recipe.task.metric.column(name): measured.value}
        row |= {f"{name}_{more}": value for more, value in measured.more.items()}
    means = {name: _mean(float(value), run) for name, value in run.metrics.items()}
    means |= recipe.task.told(run.carried)
    row = {f"train_{name}": value for name, value in means.items()} | row
    n = len(journal.get("step", ()))
    for name in {**dict.fromkeys(columns(recipe.task.metric)), **row}:
        journal.setdefault(name, [None] * n).append(_finite_or_none(row.get(name)))
    run.loss_sum.zero_()
    run.loss_steps = 0


def _mean(value: float, run: Run) -> float:
    """Return the mean of a value over the team."""
    return float(run.team.add(torch.tensor(value, dtype=torch.float64, device=run.device))) / run.team.size


def _finite_or_none(value: Any) -> Any:
    """Return a value, None where it is not finite: JSON has no NaN, and records it as missing."""
    return None if value is None or (isinstance(value, float) and not math.isfinite(value)) else value

"""A recipe: a study's model, data and training with every length in steps and the data identified."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from lth_ray.config import (
    ConfigError,
    Data,
    Length,
    Model,
    OwnFunction,
    TaskConfig,
    Train,
    epochs,
    field_table,
    functions_of,
    meaning,
    revised,
    steps,
)
from lth_ray.data import Identity
from lth_ray.models.structure import structure_of
from lth_ray.tasks import Task, task_of

LONGEST, MOST_EVALUATIONS = 10**12, 10**6


@dataclass(frozen=True)
class Recipe:
    """Everything a step of training depends on but its weights, mask and seeds."""

    model: Model
    data: TaskConfig
    train: Train
    identity: Identity
    recorded: str | None = None  # the structure of its network, where a record says it, and not the network

    def __post_init__(self) -> None:
        if self.has_epochs and self.steps_per_epoch == 0:
            raise ConfigError(
                f"{self._batch}: larger than the {self.identity.n_train} training images; give a smaller one"
            )
        if self.total_steps == 0:
            raise ConfigError(
                f"Train.length = {self.train.length}: no step at all with {self.steps_per_epoch} steps an epoch; "
                "lengthen it"
            )
        self._check_lengths()
        if self.total_steps % self.train.cycles:
            raise ConfigError(
                f"Train.cycles = {self.train.cycles}: it does not divide Train.length = {self.train.length}, which is "
                f"{self.total_steps} steps; give a divisor, or a length that is a multiple"
            )
        self._check_average()
        self.task.check(self.train)
        if self.train.backend == "shrunk" and self.task.carries:
            raise ConfigError(
                f"Train.backend = 'shrunk': {type(self.data).__name__} carries a state of the whole network from step "
                "to step; leave it out"
            )
        if self.data.batch_size % self.group:
            raise ConfigError(
                f"Train.batch_norm_group = {self.group}: it does not divide {self._batch}; give a divisor"
            )
        for name in ("warmup", "milestones"):
            value = getattr(self.train, name)
            for point in value if isinstance(value, tuple) else (value,):
                if self.steps(point) > self.cycle_steps:
                    one = (
                        f"of each of Train.cycles = {self.train.cycles} in" if self.train.cycles > 1 else "of training,"
                    )
                    raise ConfigError(
                        f"Train.{name} = {point}: step {self.steps(point)} lies beyond the end {one} "
                        f"{self.train.length} = step {self.cycle_steps}; shorten it or lengthen Train.length"
                    )
        milestones = [self.steps(point) for point in self.train.milestones]
        if sorted({0, *milestones}) != [0, *milestones]:
            raise ConfigError(
                f"Train.milestones are steps {milestones}: out of order; list steps after 0, the earliest first"
            )

    def _check_average(self) -> None:
        """Raise ConfigError where no epoch would end behind Train.average_from, or none can be gone over again."""
        begins = self.train.average_from
        if begins is None:
            return
        if self.task.carries:
            raise ConfigError(
                f"Train.average_from = {begins}: {type(self.data).__name__} carries a state from step to step, so that "
                "an epoch's batches cannot be gone over again; give ema_decay instead"
            )
        if self.total_steps // self.steps_per_epoch <= self.average_from_step // self.steps_per_epoch:
            raise ConfigError(
                f"Train.average_from = {begins}: no epoch of {self.steps_per_epoch} steps ends between step "
                f"{self.average_from_step} and the end of training, {self.train.length} = step {self.total_steps}; "
                "give an earlier point"
            )

    def _check_lengths(self) -> None:
        train = self.train
        evaluations = self.total_steps // self.evaluate_every
        if self.total_steps > LONGEST or evaluations > MOST_EVALUATIONS:
            field, most = ("length", LONGEST) if self.total_steps > LONGEST else ("evaluate_every", MOST_EVALUATIONS)
            raise ConfigError(
                f"Train.{field} = {getattr(train, field)}: {self.total_steps:,} steps, {evaluations:,} evaluations; "
                f"at most {most:,} {'steps' if field == 'length' else 'evaluations'} can be done"
            )
        try:
            rates = [train.lr * train.gamma ** len(train.milestones), train.final_lr, train.lr]
        except OverflowError:
            rates = [math.inf]
        if not all(map(math.isfinite, rates)):
            raise ConfigError(f"Train.gamma = {train.gamma:g}: the learning rate becomes infinite; give a smaller one")

    @cached_property
    def task(self) -> Task[Any]:
        """The task that is learned, and that judges."""
        return task_of(self.data)

    @cached_property
    def structure(self) -> str:
        """The structure of its network of images, as lth_ray.models.structure calls it."""
        return self.recorded or structure_of(self.model, self.identity.input_shape, self.identity.num_classes)

    @cached_property
    def steps_per_epoch(self) -> int:
        """The steps of an epoch, floor(n_train / batch size): the rest of an epoch is dropped; 0 where nothing is
        one. Or what the task says.
        """
        stated = self.identity.steps_per_epoch
        return stated if stated is not None else self.identity.n_train // self.data.batch_size

    @cached_property
    def examples_a_step(self) -> int:
        """The number of times the task's `example` that a step's batch is, by which operations are counted."""
        return self.task.examples_a_step(self.identity)

    @property
    def _batch(self) -> str:
        """The field that says how large a batch is, and its value."""
        field = "batch_size" if "batch_size" in field_table(type(self.data)) else "envs"
        return f"{type(self.data).__name__}.{field} = {self.data.batch_size}"

    @property
    def has_epochs(self) -> bool:
        """False where examples are made as they are needed, so that nothing is an epoch."""
        return self.identity.n_train > 0

    @cached_property
    def total_steps(self) -> int:
        """T, the step at which training ends."""
        return self.steps(self.train.length)

    @cached_property
    def cycle_steps(self) -> int:
        """The steps in which the schedule is gone through once: all, unless Train.cycles says otherwise."""
        return self.total_steps // self.train.cycles

    @cached_property
    def warmup_steps(self) -> int:
        return self.steps(self.train.warmup)

    @cached_property
    def milestone_steps(self) -> tuple[int, ...]:
        return tuple(self.steps(point) for point in self.train.milestones)

    @cached_property
    def average_from_step(self) -> int:
        """The step behind which weights are averaged over the ends of epochs; 0 where they are not."""
        return self.steps(self.train.average_from) if self.train.average_from is not None else 0

    @cached_property
    def evaluate_every(self) -> int:
        return max(1, self.steps(self.train.evaluate_every))

    @property
    def group(self) -> int:
        """The images that go through the network at a time."""
        return self.train.batch_norm_group or self.data.batch_size

    def admits(self, workers: int) -> bool:
        """Return whether so many workers may train it together: whole groups each or, with sync_batch_norm,
        equal shares.
        """
        shared = self.data.batch_size if self.train.sync_batch_norm else self.data.batch_size // self.group
        return shared % workers == 0

    def check_workers(self, workers: int) -> None:
        """Raise ConfigError for a number of workers that would change the science."""
        if self.admits(workers):
            return
        size, groups = self.data.batch_size, self.data.batch_size // self.group
        remedy = f"give a divisor of {groups}, or smaller groups by Train(batch_norm_group=...), which is a new recipe"
        if self.train.sync_batch_norm:
            raise ConfigError(f"--workers {workers}: it does not divide {self._batch}; give a divisor")
        raise ConfigError(
            f"--workers {workers}: a batch of {size} images is {groups} group{'s' * (groups > 1)} of {self.group} "
            f"(Train.batch_norm_group = {self.train.batch_norm_group}), and workers share whole groups; {remedy}"
        )

    @property
    def functions(self) -> list[tuple[str, OwnFunction]]:
        """The user's own functions: (field, function) of each."""
        return [*functions_of(self.model, "Model"), *functions_of(self.train, "Train")]

    def steps(self, length: Length) -> int:
        """Return a length in optimizer steps."""
        return length.to_steps(self.steps_per_epoch)

    def evaluation_steps(self, first: int, last: int) -> list[int]:
        """Return the steps after `first`, up to `last`, at which validation and test sets are measured."""
        every = self.evaluate_every
        found = list(range((first // every + 1) * every, last + 1, every))
        return found if found and found[-1] == last else [*found, last]

    def lr(self, step: int) -> float:
        """Return the learning rate of optimizer step `step` (0 is the first)."""
        warmup, step = self.warmup_steps, step % self.cycle_steps if self.train.cycles > 1 else step
        return self._scheduled(step) * step / warmup if step < warmup else self._scheduled(step)

    def _scheduled(self, step: int) -> float:
        """Return the learning rate without the warm-up's factor; "linear" and "cosine" begin to fall when it
        ends.

        step: of a cycle.
        """
        train = self.train
        if train.schedule == "milestones":
            return train.lr * train.gamma ** sum(step >= milestone for milestone in self.milestone_steps)
        if train.schedule == "inverse_sqrt":
            return train.lr * math.sqrt(max(1, self.warmup_steps) / max(1, self.warmup_steps, step))
        share = max(0, step - self.warmup_steps) / max(1, self.cycle_steps - self.warmup_steps)
        if train.schedule == "linear":
            return train.lr + (train.final_lr - train.lr) * share
        if train.schedule == "cosine":
            return train.final_lr + (train.lr - train.final_lr) * (1 + math.cos(math.pi * share)) / 2
        return train.lr

    def stretched(self, share: float, at_most: int | None = None) -> int:
        """Return how many steps a training takes that is `share` times as long; in whole epochs where it is stated in
        epochs.
        """
        length, each = self.train.length, 1 if self.train.length.unit == "steps" else self.steps_per_epoch
        longer = int(length.value * share) * each
        longer = longer if at_most is None else min(longer, at_most // each * each)
        return longer - longer % self.train.cycles

    def repeated(self, cycles: int) -> "Recipe":
        """Return this recipe so many times over, at equal lengths of each cycle (Gadhikar et al. 2024)."""
        train = replace(self.train, length=steps(self.total_steps * cycles), cycles=self.train.cycles * cycles)
        return replace(self, train=train)

    def lasting(self, last: int) -> "Recipe":
        """Return this recipe in `last` steps, with milestones at the same shares of them (Liu et al. 2019)."""
        in_epochs = self.train.length.unit == "epochs" and last % self.steps_per_epoch == 0
        whole, unit = (last // self.steps_per_epoch, epochs) if in_epochs else (last, steps)
        milestones = tuple(unit(point * whole // self.total_steps) for point in self.milestone_steps)
        return replace(self, train=replace(self.train, length=unit(whole), milestones=milestones))

    def fine_tuning(self) -> "Recipe":
        """Return this recipe at its last learning rate throughout (Renda et al. 2020, section 2)."""
        last = self.lr(self.total_steps - 1)
        constant = replace(
            self.train, lr=last, schedule="constant", milestones=(), warmup=steps(0), final_lr=0.0, cycles=1
        )
        return replace(self, train=constant)

    def meaning(self) -> dict[str, Any]:
        """Return plain data for a key: lengths in steps, the data set by its digest and never by its name or
        path.
        """
        return self._meaning

    @cached_property
    def _meaning(self) -> dict[str, Any]:
        kind = {} if type(self.data) is Data else {"task": type(self.data).__name__}
        data = {**_without(meaning(self.data), "name"), "identity": self.identity.digest, **kind}
        # what the choice of a backend comes to is part of a segment's own meaning
        train = {
            name: self._in_steps(name, stated) for name, stated in meaning(self.train).items() if name != "backend"
        }
        if self.warmup_steps:
            train |= revised("warmup")
        return {"model": meaning(self.model), "data": data, "train": train}

    def _in_steps(self, name: str, stated: Any) -> Any:
        """Return a field of Train for a key: what it means, but lengths in steps."""
        value = getattr(self.train, name)
        if isinstance(value, Length):
            return self.steps(value)
        if isinstance(value, tuple):
            return [self.steps(one) if isinstance(one, Length) else one for one in value]
        return stated


def _without(mapping: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key not in names}

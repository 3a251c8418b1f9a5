"""The bench of a measurement: what it has at hand, and what comes of it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from lth_ray.lottery.derivation import Table
from lth_ray.lottery.execution.networks import build, eligible, masked
from lth_ray.lottery.execution.reading import recorded_mask
from lth_ray.lottery.execution.reconstruct import start_state
from lth_ray.lottery.sources import StartSource, weights_of
from lth_ray.pruning import Mask
from lth_ray.store import Store, Tensors
from lth_ray.tasks.base import Batch, Loaded
from lth_ray.training import ALONE, Team, evaluate


@dataclass(frozen=True)
class Measured:
    """The result of a measurement.

    values: what becomes columns of a result.
    columns: curves and histograms, of equal length within one table.
    """

    values: dict[str, float | None] = field(default_factory=dict)
    columns: dict[str, list[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Bench:
    """The things that a measurement has at hand.

    States are read when they are asked for, so that few are held at a time.
    """

    table: Table
    store: Store
    dataset: Loaded
    device: str
    team: Team = ALONE

    def state(self, number: int) -> Tensors:
        """Return a trained state; pruned weights hold what they held in training."""
        return self._weights(self.table.states[number])

    def start(self, mask: Mask | None) -> Tensors:
        """Return the masked weights that the trained states set out from."""
        assert self.table.start is not None
        return masked(self._weights(self.table.start, mask), mask)

    def _weights(self, source: StartSource, mask: Mask | None = None) -> Tensors:
        return start_state(weights_of(source), self.table.recipe, self.store, self.dataset, mask).model

    def mask(self, number: int = 0) -> Mask | None:
        return recorded_mask(self.store, self.table.of[number])

    def covered(self, mask: Mask | None) -> list[str]:
        """Return the parameters that distances cover: the mask's or, of a dense network, those that may be
        pruned.
        """
        if mask is not None:
            return list(mask)
        rule = (self.table.options or {}).get("prunable", {"include": [], "exclude": []})
        return list(eligible(build(self.table.recipe), rule))

    def batches(self, split: Any, team: Team = ALONE) -> Iterator[Batch]:
        """Yield of its examples those that training's evaluations measure, too: this process's share of them."""
        task = self.table.recipe.task
        return task.examples(self.dataset, task.measured(split), (team.rank, team.size))

    def errors(self, model: torch.nn.Module) -> dict[str, float]:
        """Return loss and error on the training and the test set."""
        recipe, found = self.table.recipe, dict[str, float]()
        for name, split in (("test", self.dataset.test), ("train", self.dataset.train)):
            measured = evaluate(model, self.batches(split, self.team), recipe.task, recipe.train, self.team)
            found |= {f"{name}_loss": measured.loss, f"{name}_error": recipe.task.metric.error(measured.value)}
        return found


def finite(value: float | None) -> float | None:
    """Return a value, None where it cannot be said (an angle to nothing), as JSON has no NaN."""
    return None if value is None or not math.isfinite(value) else float(value)

"""Tasks whose examples are tensors in memory: parts of them, batches by (seed, epoch, position), evaluation in turn."""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from lth_ray.config import Train
from lth_ray.data import Identity, Normalisation, permutation
from lth_ray.data.batches import CarriesNothing, checked_part, shared_out, steps_per_epoch
from lth_ray.data.order import SPLIT
from lth_ray.tasks.base import Batch, Config_, Evaluation, Step, Stream, Task
from lth_ray.tasks.objectives import Objective

ROWS_AT_A_TIME, NUMBERS_AT_A_TIME = 10_000, 2**24  # of an evaluation


@dataclass(frozen=True)
class Held:
    """Inputs [n, ...] and targets [n, ...] of some examples.

    pixels: (means, deviations) by which uint8 inputs become numbers; None leaves inputs as they are.
    """

    inputs: Tensor
    targets: Tensor
    pixels: tuple[tuple[float, ...], tuple[float, ...]] | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def first(self, n: int) -> "Held":
        """Return the first n examples, or all where there are fewer."""
        return replace(self, inputs=self.inputs[:n], targets=self.targets[:n])

    def take(self, rows: np.ndarray) -> "Held":
        """Return the examples at these positions, in this order."""
        chosen = torch.from_numpy(rows)
        return replace(self, inputs=self.inputs[chosen], targets=self.targets[chosen])

    def to(self, device: str | torch.device) -> "Held":
        return replace(self, inputs=self.inputs.to(device), targets=self.targets.to(device))

    def normaliser(self) -> Callable[[Tensor], Tensor]:
        """Return what makes of some of the inputs what a network is called with."""
        if self.pixels is None:
            return lambda inputs: inputs
        return Normalisation(*self.pixels, 255, self.inputs.device)


@dataclass(frozen=True)
class InMemory:
    """A data set ready to train on.

    digest: as in Identity.
    """

    train: Held
    validation: Held | None
    test: Held
    digest: str


class Resident(Task[Config_]):
    """A task whose loaded data set is an `InMemory`. A batch is (inputs, targets)."""

    @property
    @abstractmethod
    def objective(self) -> Objective:
        """Its loss and metric."""

    def stream(self, loaded: InMemory, order_seed: int, augmentation_seed: int, part: range | None = None) -> Stream:
        return ResidentBatches(loaded.train, self.config.batch_size, order_seed, part)

    def splits(self, loaded: InMemory) -> Mapping[str, Held]:
        found = {"validation": loaded.validation, "test": loaded.test}
        return {name: part for name, part in found.items() if part is not None}

    def examples(self, loaded: InMemory, split: Held, share: tuple[int, int] = (0, 1)) -> Iterator[Batch]:
        own, normalised = shared_out(len(split), share), split.normaliser()
        size = min(ROWS_AT_A_TIME, max(1, NUMBERS_AT_A_TIME // max(1, math.prod(split.inputs.shape[1:]))))
        for start in range(own.start, own.stop, size):
            stop = min(start + size, own.stop)
            yield normalised(split.inputs[start:stop]), split.targets[start:stop]

    def evidence(self, loaded: InMemory, order: int, number: int = 0) -> Batch:
        """Return a batch in the training order."""
        return ResidentBatches(loaded.train, self.config.batch_size, order).batch(number)

    def loss(self, train: Train) -> Step:
        return self.objective.loss(train)

    def sums(self, outputs: Tensor, batch: Batch) -> Tensor:
        return self.objective.sums(outputs, batch)

    def evaluation(self, sums: Tensor) -> Evaluation:
        return self.objective.evaluation(sums)

    def example(self, identity: Identity) -> tuple[Tensor]:
        return (torch.zeros(1, *identity.input_shape, dtype=getattr(torch, identity.input_dtype)),)


class ResidentBatches(CarriesNothing):
    """Training batches of `part_of`, in an order given by (seed, epoch, position); what is left of an epoch is dropped.

    part: the positions of each global batch that are taken; None for all.
    """

    def __init__(self, part_of: Held, batch_size: int, order_seed: int, part: range | None = None) -> None:
        self.steps_per_epoch = steps_per_epoch(len(part_of), batch_size)
        self._of, self._size, self._seed = part_of, batch_size, order_seed
        self._part, self._normalised = checked_part(part, batch_size), part_of.normaliser()

    def batch(self, step: int, model: torch.nn.Module | None = None) -> Batch:
        epoch, index = divmod(step, self.steps_per_epoch)
        order = _order(self._seed, epoch, len(self._of))
        start = index * self._size + self._part.start
        chosen = order[start : start + len(self._part)].to(self._of.targets.device)
        return self._normalised(self._of.inputs.index_select(0, chosen)), self._of.targets.index_select(0, chosen)

    def close(self) -> None:
        """Do nothing: there is nothing to end."""


def held_out(n: int, test: int, validation: int, split_seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return positions of (the rest, the validation set, the test set) in range(n), drawn by a seed, each in
    rising order.
    """
    order = permutation(split_seed, 0, n, SPLIT)
    drawn_test, drawn_validation, rest = (np.sort(rows) for rows in np.split(order, np.cumsum([test, validation])))
    return rest, drawn_validation, drawn_test


@lru_cache(maxsize=8)
def _order(seed: int, epoch: int, n: int) -> Tensor:
    return torch.from_numpy(permutation(seed, epoch, n))

"""Moving masks: the weakest weights of a layer are dropped, and as many others grown (SET, RigL)."""

import math
from dataclasses import dataclass

import torch

from lth_ray.data.order import uniform
from lth_ray.pruning.selection import lowest


@dataclass(frozen=True)
class Regrowth:
    """The rule by which the mask of a training changes: when, and by how much.

    method: "rigl" or "set".
    every: an update takes place at each step that is a multiple of this.
    fraction: of each layer's kept weights, at step 0.
    end: the step from which on there are no updates.
    seed: of what "set" grows; None for "rigl", which draws nothing.
    """

    method: str
    every: int
    fraction: float
    end: int
    seed: int | None = None

    def due(self, step: int) -> bool:
        """Return whether the mask is updated in place of optimizer step `step` (0 is the first)."""
        return step % self.every == 0 and step < self.end

    def count(self, kept: int, step: int) -> int:
        """Return the weights that a layer with so many drops and grows at `step`: int(kept x f), f falling by
        a cosine.
        """
        return int(kept * self.fraction / 2 * (1 + math.cos(math.pi * step / self.end)))

    def growth(self, name: str, gradient: torch.Tensor, step: int) -> torch.Tensor:
        """Return the scores by which a layer's weights grow, the highest first.

        Those of "set" depend on (seed, step, name) alone.
        """
        if self.method == "rigl":
            return gradient.abs()
        assert self.seed is not None
        return uniform(self.seed, f"growth/{step}/{name}", gradient.numel()).view(gradient.shape)


@dataclass(frozen=True)
class Moved:
    """A layer's mask after an update.

    mask: bool, of the weight's shape, on the CPU.
    dropped: the weights that left the mask, those that came back at once included.
    returned: how many of them came back at once.
    """

    mask: torch.Tensor
    dropped: int
    returned: int


def drop_and_grow(weight: torch.Tensor, growth: torch.Tensor, mask: torch.Tensor, count: int) -> Moved:
    """Drop the `count` weights of the lowest |weight| that `mask` keeps, and grow as many others.

    These are the `count` of the highest `growth` among all that are not kept then.

    weight, growth, mask: of one shape. Of equal values the lowest flat index goes first. NaN, of a training that has
    diverged, counts as zero.
    """
    keeps = mask.cpu().flatten()
    stays = keeps.clone()
    stays[keeps] = ~lowest(_numbers(weight)[keeps].abs(), count)
    after = stays.clone()
    after[~stays] = lowest(-_numbers(growth)[~stays], count)
    returned = int((after & keeps & ~stays).count_nonzero())
    return Moved(after.view(mask.shape), count, returned)


def _numbers(values: torch.Tensor) -> torch.Tensor:
    return values.detach().cpu().flatten().nan_to_num(nan=0.0)

"""A comparison of a smaller network with the masked one it stands for, in double precision and with other weights.

With its own a network may hide a difference: scales that begin at zero, a dead layer. Under weights drawn anew the two
differ wherever they are not the same function.
"""

import copy
import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from lth_ray.models.detection import straight
from lth_ray.models.shrinking.network import build_small
from lth_ray.models.shrinking.positions import Shrinking

APART = 1e-6  # of the largest output; rounding makes 1e-12, a unit that is missed 1e-3 and more


class Agreement:
    """A network under a mask, drawn anew, and what it gives.

    Raises whatever the network's own code does where it cannot be called in double precision.
    """

    def __init__(self, model: nn.Module, mask: Mapping[str, Tensor], example: tuple[Any, ...]) -> None:
        generator = torch.Generator().manual_seed(0)
        self.model = copy.deepcopy(model).cpu().double()
        self.inputs = tree_map(lambda one: _inputs(one, generator) if isinstance(one, Tensor) else one, example)
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(_drawn(parameter, generator))
                if name in mask:
                    parameter.masked_fill_(~mask[name].cpu(), 0.0)
            for buffer in self.model.buffers():
                if buffer.is_floating_point() and buffer.dim() == 1:  # running statistics
                    buffer.copy_(_drawn(buffer, generator))
        self.outputs = list(_called(copy.deepcopy(self.model), self.inputs))

    def holds(self, how: Shrinking) -> bool:
        """Return whether the smaller network gives the same, in evaluation and in training."""
        try:
            ours = _called(build_small(self.model, how, draws_as_whole=True), self.inputs)
            # one that differs in evaluation is not trained
            return all(_close(one, other) for one, other in zip(ours, self.outputs, strict=True))
        except (RuntimeError, ValueError, TypeError, AssertionError, IndexError):  # sizes that do not fit each other
            return False


def _called(model: nn.Module, inputs: tuple[Any, ...]) -> Iterator[list[Tensor]]:
    """Yield what a network gives in evaluation and in training, drawing from a generator of its own."""
    for mode in (False, True):
        with torch.no_grad(), straight(model), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            yield [one for one in tree_leaves(model.train(mode)(*inputs)) if isinstance(one, Tensor)]


def _close(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    return len(ours) == len(theirs) and all(map(_are_close, ours, theirs))


def _are_close(ours: Tensor, theirs: Tensor) -> bool:
    if ours.shape != theirs.shape or not bool(theirs.isfinite().all()):
        return False
    scale = float(theirs.abs().max().clamp_min(1e-30)) if theirs.numel() else 1.0
    return bool(((ours - theirs).abs() <= APART * scale).all())


def _inputs(given: Tensor, generator: torch.Generator) -> Tensor:
    """Return two examples: numbers of any kind, or those that are given where they are whole (words, classes)."""
    if not given.is_floating_point():
        return torch.cat([given, given]).cpu()
    shape = 2 * given.shape[0], *given.shape[1:]
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def _drawn(tensor: Tensor, generator: torch.Generator) -> Tensor:
    """Return numbers by which a network neither dies out nor grows beyond bounds: He's for weights, near 1 for what is
    there once for each unit.
    """
    if tensor.dim() < 2:
        return torch.rand(tensor.shape, generator=generator, dtype=torch.float64) + 0.5
    spread = math.sqrt(2 / tensor[0].numel())
    return torch.randn(tensor.shape, generator=generator, dtype=torch.float64) * spread

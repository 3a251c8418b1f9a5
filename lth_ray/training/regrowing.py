"""Updates the mask of a run that is trained under a changing one (dynamic sparse training)."""

from collections.abc import Mapping
from typing import Any

import torch

from lth_ray.pruning import Mask, drop_and_grow
from lth_ray.training.averages import named
from lth_ray.training.carried import MASK
from lth_ray.training.loop import Eager, Run
from lth_ray.training.optimizers import mask_optimizer

HISTORY = ("step", "layer", "kept", "dropped", "returned")


class Regrowing(Eager):
    """Steps by autograd, some of which change the run's mask in the place of its weights."""

    def apply(self) -> None:
        rule = self.run.regrowth
        if rule is not None and rule.due(self.run.step):
            regrow(self.run)
        else:
            super().apply()


@torch.no_grad()
def regrow(run: Run) -> None:
    """Take the place of an optimizer step: each layer's mask by the gradients of the step's batch.

    Gradients are those of all weights, as pruned ones are zeros that take part; in a team they are the same on every
    worker, and so are the masks. Weights, averages and optimizer state outside the new mask are zero afterwards; what
    has grown was so before.
    """
    rule, mask = run.regrowth, run.mask
    assert rule is not None
    assert mask is not None
    for (name, before), (parameter, kept) in zip(mask.items(), run.kept, strict=True):
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        number = int(before.count_nonzero())
        moved = drop_and_grow(parameter, rule.growth(name, gradient, run.step), before, rule.count(number, run.step))
        mask[name] = moved.mask
        kept.copy_(moved.mask)
        for column, value in zip(HISTORY, (run.step, name, number, moved.dropped, moved.returned), strict=True):
            run.history.setdefault(column, []).append(value)
    averages = named(run.model)
    for name, (parameter, kept) in zip(mask, run.kept, strict=True):
        for held in (parameter, *([averages[name]] if name in averages else [])):
            held.masked_fill_(kept == 0, 0.0)
    mask_optimizer(run.optimizer, run.kept)
    run.optimizer.zero_grad()


def held_mask(stored: Mapping[str, Any] | None, mask: Mask) -> Mask:
    """Return the mask that a checkpoint holds beside the optimizer's state, in the order of `mask`."""
    held = (stored or {})[MASK]
    return {name: held[name] for name in mask}

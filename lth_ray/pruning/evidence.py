"""The evidence that a pruning criterion may look at."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lth_ray.config import ConfigError
from lth_ray.pruning.masks import named

Batch = tuple[torch.Tensor, ...]
Loss = Callable[[nn.Module, Batch], tuple[torch.Tensor, Any]]  # (the batch's mean, anything)


class NoGradient(ValueError):
    """None of the weights that may be pruned has a gradient."""


@dataclass(frozen=True)
class Evidence:
    """The arguments of `score`, one for all criteria; each takes of it what it needs.

    batches: examples, over whose mean losses gradients are averaged. mode: of batch norms, "train" or "eval".
    """

    model: nn.Module
    mask: Mapping[str, torch.Tensor]
    initial: Mapping[str, torch.Tensor] | None
    batches: Sequence[Batch] | None
    seed: int
    loss: Loss | None = None
    mode: str = "train"

    def masked(self) -> dict[str, torch.Tensor]:
        """Return the parameters that the mask covers, pruned ones at zero."""
        return {name: masked(weight, self.mask[name]) for name, weight in self.weights().items()}

    def weights(self) -> dict[str, torch.Tensor]:
        """Return the parameters that the mask covers, detached."""
        parameters = dict(self.model.named_parameters())
        return {name: named(parameters, name).detach() for name in self.mask}

    def initial_weights(self) -> dict[str, torch.Tensor]:
        """Return their values in `initial`, on their devices."""
        if self.initial is None:
            raise ConfigError("initial = None: give the state dict at initialisation")
        return {name: alike("initial", self.initial, name, weight) for name, weight in self.weights().items()}


def masked(weight: torch.Tensor, keeps: torch.Tensor) -> torch.Tensor:
    """Return `weight` with pruned places at zero, whatever they hold."""
    return weight.masked_fill(~keeps.to(weight.device), 0.0)


def alike(argument: str, state: Mapping[str, torch.Tensor], name: str, value: torch.Tensor) -> torch.Tensor:
    """Return entry `name` of a state dict, on the device of `value`.

    Raises ConfigError unless it is there and of its shape.

    argument: what the caller calls the state dict.
    """
    if name not in state or state[name].shape != value.shape:
        found = f"has shape {tuple(state[name].shape)}" if name in state else "is missing"
        raise ConfigError(
            f"{argument}[{name!r}] {found}, {tuple(value.shape)} is needed: give a state dict of the same network"
        )
    return state[name].detach().to(value.device)

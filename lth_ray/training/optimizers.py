"""Optimizers by name, in their fastest form on each device."""

from collections.abc import Sequence

import torch

from lth_ray.config import Train


def build_optimizer(train: Train, model: torch.nn.Module) -> torch.optim.Optimizer:
    """The optimizer of a recipe over all of the model's parameters; its rate is set at every step."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    decay = train.weight_decay
    if train.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, lr=train.lr, momentum=train.momentum, nesterov=train.nesterov, weight_decay=decay, fused=True
        )
    if train.optimizer == "rmsprop":
        return torch.optim.RMSprop(
            parameters, lr=train.lr, alpha=train.alpha, eps=train.eps, momentum=train.momentum, weight_decay=decay
        )
    kind = torch.optim.Adam if train.optimizer == "adam" else torch.optim.AdamW
    return kind(parameters, lr=train.lr, betas=train.betas, eps=train.eps, weight_decay=decay, fused=True)


def lay_out(optimizer: torch.optim.Optimizer) -> None:
    """Gives state that was loaded the memory layout of its parameter, which the fused kernels take for granted."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def mask_optimizer(optimizer: torch.optim.Optimizer, masked: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
    """Zeroes the state (momentum, second moments) of pruned weights, for a restored optimizer.

    masked: (parameter, its mask as floats) pairs.
    """
    for parameter, kept in masked:
        for value in optimizer.state.get(parameter, {}).values():
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                value.mul_(kept)

"""Optimizers by name, in their fastest form on each device."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from lth_ray.config import ConfigError, Train, nearest
from lth_ray.config.train import OPTIMIZERS

KINDS: dict[str, tuple[type[Any], dict[str, bool]]] = {  # and the fastest form of each
    "sgd": (torch.optim.SGD, {"fused": True}),
    "adam": (torch.optim.Adam, {"fused": True}),
    "adamw": (torch.optim.AdamW, {"fused": True}),
    "rmsprop": (torch.optim.RMSprop, {}),
}


def build_optimizer(train: Train, parameters: Iterable[Tensor], rate: Tensor | None = None) -> torch.optim.Optimizer:
    """Return the optimizer of a recipe over those of `parameters` that are trained; its rate is set at every
    step.

    rate: where steps read theirs from, a scalar on the parameters' device; such an optimizer may be captured in a CUDA
    graph. None: `lr` of the optimizer's groups.
    """
    if train.optimizer not in KINDS:
        raise ConfigError(f"Train.optimizer = {train.optimizer!r}: {nearest(train.optimizer, KINDS)}")
    kind, fused = KINDS[train.optimizer]
    options = {name: getattr(train, name) for name in OPTIMIZERS[train.optimizer]}
    if issubclass(kind, torch.optim.Adam):
        options["capturable"] = rate is not None and rate.is_cuda
    trained = [p for p in parameters if p.requires_grad]
    lr = train.lr if rate is None else rate
    built: torch.optim.Optimizer = kind(trained, lr=lr, weight_decay=train.weight_decay, **options, **fused)
    return built


def first_state(optimizer: torch.optim.Optimizer, parameter: Tensor) -> dict[str, Tensor]:
    """Return what torch.optim's fused SGD, Adam and AdamW hold of a parameter when its first step is taken."""
    if isinstance(optimizer, torch.optim.Adam):
        zeros = {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
        return {"step": torch.zeros((), dtype=torch.float32, device=parameter.device), **zeros}
    return {"momentum_buffer": torch.zeros_like(parameter)} if optimizer.defaults["momentum"] else {}


def begin_state(optimizer: torch.optim.Optimizer) -> None:
    """Give each parameter that has no state yet its first, so that no step has to make it."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if not optimizer.state.get(parameter) and (first := first_state(optimizer, parameter)):
                optimizer.state[parameter] = first


def lay_out(optimizer: torch.optim.Optimizer) -> None:
    """Give state that was loaded the memory layout of its parameter, which the fused kernels take for
    granted.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def mask_gradients(masked: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
    """Zero the gradients of pruned weights.

    masked: (parameter, its mask as floats) pairs.
    """
    found = [(parameter.grad, kept) for parameter, kept in masked if parameter.grad is not None]
    if found:
        torch._foreach_mul_([gradient for gradient, _ in found], [kept for _, kept in found])


def mask_optimizer(optimizer: torch.optim.Optimizer, masked: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
    """Zero the state (momentum, second moments) of pruned weights, for a restored optimizer.

    masked: (parameter, its mask as floats) pairs.
    """
    for parameter, kept in masked:
        for value in optimizer.state.get(parameter, {}).values():
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                value.mul_(kept)

"""Optimizers by name, in their fastest form on each device."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from lth_ray.config import Train


def build_optimizer(train: Train, parameters: Iterable[Tensor], rate: Tensor | None = None) -> torch.optim.Optimizer:
    """Return the optimizer of a recipe over those of `parameters` that are trained; its rate is set at every
    step.

    rate: where steps read theirs from, a scalar on the parameters' device; such an optimizer may be captured in a CUDA
    graph. None: `lr` of the optimizer's groups.
    """
    trained = [p for p in parameters if p.requires_grad]
    lr, decay = train.lr if rate is None else rate, train.weight_decay
    if train.optimizer == "sgd":
        return torch.optim.SGD(
            trained, lr=lr, momentum=train.momentum, nesterov=train.nesterov, weight_decay=decay, fused=True
        )
    if train.optimizer == "rmsprop":
        return torch.optim.RMSprop(
            trained, lr=lr, alpha=train.alpha, eps=train.eps, momentum=train.momentum, weight_decay=decay
        )
    kind = torch.optim.Adam if train.optimizer == "adam" else torch.optim.AdamW
    captured = rate is not None and rate.is_cuda
    return kind(trained, lr=lr, betas=train.betas, eps=train.eps, weight_decay=decay, fused=True, capturable=captured)


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


def mask_optimizer(optimizer: torch.optim.Optimizer, masked: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
    """Zero the state (momentum, second moments) of pruned weights, for a restored optimizer.

    masked: (parameter, its mask as floats) pairs.
    """
    for parameter, kept in masked:
        for value in optimizer.state.get(parameter, {}).values():
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                value.mul_(kept)

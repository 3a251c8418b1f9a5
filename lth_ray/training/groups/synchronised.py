"""Batch norm whose statistics are those of the whole global batch, of which each worker has an equal share.

torch.nn.SyncBatchNorm does the same on GPUs alone; this one also runs on CPUs, where it can be tested.
"""

from types import MethodType
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lth_ray.training.team import Team


def synchronise(model: nn.Module, team: Team) -> None:
    """Make every batch-norm layer of `model` take its training statistics over the team, in place; names
    stay.
    """
    for layer in model.modules():
        if isinstance(layer, _BatchNorm) and team.size > 1:
            layer.forward = MethodType(_forward, layer)  # type: ignore[method-assign]


def _forward(layer: _BatchNorm, inputs: Tensor) -> Tensor:
    if not layer.training:
        evaluated: Tensor = type(layer).forward(layer, inputs)
        return evaluated
    size = dist.get_world_size()
    dims = [0, *range(2, inputs.dim())]
    shape = (1, -1, *[1] * (inputs.dim() - 2))
    values = inputs.float()
    mean = _Sum.apply(values.mean(dims)) / size
    centred = values - mean.view(shape)
    variance = _Sum.apply(centred.square().mean(dims)) / size
    _keep(layer, mean.detach(), variance.detach(), values[:, 0].numel() * size)
    normalised = centred * torch.rsqrt(variance + layer.eps).view(shape)
    if layer.weight is not None:
        normalised = normalised * layer.weight.view(shape) + layer.bias.view(shape)
    found: Tensor = normalised.to(inputs.dtype)
    return found


@torch.no_grad()
def _keep(layer: _BatchNorm, mean: Tensor, variance: Tensor, n: int) -> None:
    """Move the running statistics towards the batch's; the variance that is kept is the unbiased one."""
    if layer.running_mean is None or layer.running_var is None:
        return
    if layer.num_batches_tracked is not None:
        layer.num_batches_tracked.add_(1)
    share = 1 / float(layer.num_batches_tracked or 1) if layer.momentum is None else layer.momentum
    layer.running_mean.lerp_(mean, share)
    layer.running_var.lerp_(variance * (n / max(1, n - 1)), share)


class _Sum(torch.autograd.Function):
    """The sum over all workers; what flows back is summed likewise, as each worker's loss depends on it."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return Team.present().add(value.clone())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return Team.present().add(gradient.contiguous().clone())

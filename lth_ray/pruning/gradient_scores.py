"""Criteria by the gradient g of the loss at the start of training (Lee et al. 2019, "SNIP"; Zhou et al. 2019)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from lth_ray.config import ConfigError
from lth_ray.models import functional
from lth_ray.pruning.evidence import Batch, Evidence, Loss, alike

Tensors = dict[str, torch.Tensor]


def snip(evidence: Evidence) -> Tensors:
    """Score by |g w|, which is |dL/dm| of the mask m."""
    weights, gradients = _gradients(evidence)
    return {name: (gradients[name] * weight).abs() for name, weight in weights.items()}


def grad(evidence: Evidence) -> Tensors:
    """Score by |g|."""
    return {name: gradient.abs() for name, gradient in _gradients(evidence)[1].items()}


def _gradients(evidence: Evidence) -> tuple[Tensors, Tensors]:
    """Return (masked weights, gradients of the batch's mean loss there), for the parameters that the mask
    covers.

    At `initial` where that is given, else at the model's own weights. Without dropout, and with batch statistics in
    batch norms, as the first step of training has them: the running ones are those of no network yet.
    """
    if evidence.batch is None:
        raise ConfigError("batch = None: give (inputs, labels)")
    state = _start(evidence)
    weights = {name: _masked(state[name], evidence.mask[name]) for name in evidence.weights()}
    leaves = {name: nn.Parameter(weight) for name, weight in weights.items()}  # which a loss may ask for by name
    device = next(iter(leaves.values())).device
    batch = tuple(tensor.to(device) for tensor in evidence.batch)
    with _batch_statistics(evidence.model), torch.enable_grad():
        given = {f"model.{name}": value for name, value in (state | leaves).items()}
        loss: torch.Tensor = functional(_Loss(evidence.model, evidence.loss or _cross_entropy))(given, batch)
    gradients = torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)
    return {name: weight.detach() for name, weight in weights.items()}, dict(zip(leaves, gradients, strict=True))


class _Loss(nn.Module):
    """A network and its loss as one module, so that a loss which looks at weights sees those it is called with."""

    def __init__(self, model: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, *batch: torch.Tensor) -> torch.Tensor:
        return self.loss(self.model, batch)[0]


def _cross_entropy(model: nn.Module, batch: Batch) -> tuple[torch.Tensor, Any]:
    return F.cross_entropy(model(batch[0]).float(), batch[1]), None


def _masked(weight: torch.Tensor, keeps: torch.Tensor) -> torch.Tensor:
    return weight.masked_fill(~keeps.to(weight.device), 0.0)


def _start(evidence: Evidence) -> Tensors:
    """Return all parameters and buffers; buffers are copies, since a forward pass writes to those of a batch
    norm.
    """
    model, initial = evidence.model, evidence.initial
    stored = model.state_dict().keys()  # a buffer that is not persistent has no initial value
    state = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    if initial is not None:
        state = {n: alike("initial", initial, n, value) if n in stored else value for n, value in state.items()}
    buffers = dict(model.named_buffers())
    return {
        name: value.detach().clone() if name in buffers else nn.Parameter(value.detach(), requires_grad=False)
        for name, value in state.items()
    }


@contextmanager
def _batch_statistics(model: nn.Module) -> Iterator[None]:
    """Put batch norms in training mode, all else in evaluation mode; put the modes back."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        for module, _ in modes:
            module.training = isinstance(module, _BatchNorm)
        yield
    finally:
        for module, training in modes:
            module.training = training

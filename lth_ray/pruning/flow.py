"""A network as a flow of positive numbers: called with weights of one's own, its normalisations made linear.

The rule: whatever a normalisation does to its input, here it multiplies by its weight and adds its bias; a batch norm
divides by the root of its running variance, too. So no statistics of examples matter, and what comes out of ones is,
biases apart, a sum over the paths from inputs to outputs of the products of their weights (Tanaka et al. 2020, equation
2, whose networks have batch norms with mean 0 and variance 1 when they are pruned).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils._pytree import tree_leaves

from lth_ray.models import functional
from lth_ray.models.detection import straight
from lth_ray.models.tied import evaluating

NORMALISATIONS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm)
_OF_PLACES = (nn.LayerNorm, nn.RMSNorm)  # whose weights lie along the last axes, and not along that of channels


def flow(model: nn.Module, tensors: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
    """Return the sum of the network's outputs in evaluation mode, called with `tensors` in the place of its own.

    tensors: parameters and buffers by name. The model is left as it was.
    """
    with linear_normalisations(model), straight(model):
        return outputs_of(functional(model)(tensors, (inputs,)))


def outputs_of(outputs: Any) -> Tensor:
    """Return the sum of all numbers that a network gave."""
    parts = [one.sum() for one in tree_leaves(outputs) if isinstance(one, Tensor) and one.is_floating_point()]
    return torch.stack(parts).sum()


@contextmanager
def linear_normalisations(model: nn.Module) -> Iterator[None]:
    """Put the network in evaluation mode and its normalisations under the rule; put both back."""
    norms = [module for module in model.modules() if isinstance(module, NORMALISATIONS)]
    hooks = [module.register_forward_hook(_linear) for module in norms]
    try:
        with evaluating(model):
            yield
    finally:
        for hook in hooks:
            hook.remove()


def _linear(module: nn.Module, inputs: tuple[Tensor, ...], outputs: Any) -> Tensor:
    """Return what the rule makes of a normalisation's inputs, in the place of its outputs."""
    (x,) = inputs
    weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
    variance = getattr(module, "running_var", None)
    along: Callable[[Tensor], Tensor] = lambda one: one  # noqa: E731
    if not isinstance(module, _OF_PLACES):
        along = lambda one: one.view(-1, *[1] * (x.dim() - 2))  # noqa: E731
    if variance is not None:
        x = x / along((variance + getattr(module, "eps", 0.0)).sqrt())
    x = x * along(weight) if weight is not None else x
    return x + along(bias) if bias is not None else x

"""The inputs of layers that meet zeros alone under a mask: what no weight need be there for.

Behind a batch norm whose scale and shift the mask removes a channel is zero, though others may read it without that
norm: behind an addition, or a concatenation. Such a channel is no unit that is gone, and what reads it there is.
"""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.utils._pytree import tree_map

from lth_ray.models.detection import straight

CENTRING = nn.LayerNorm, nn.GroupNorm, _InstanceNorm  # norms that take their inputs' mean away: half becomes negative


def without_dead_inputs(model: nn.Module, mask: Mapping[str, Tensor], example: tuple[Any, ...]) -> dict[str, Tensor]:
    """Return a mask without the weights of ordinary convolutions and linear layers that read nothing but zeros.

    mask: {parameter: bool}, True keeps; example: what the model is called with for one example.

    The network is called under the mask with positive weights, biases and inputs, and norms give absolute values, so
    that no activation function stops what the mask lets through. One that cannot be called in double precision has its
    mask as it is.
    """
    generator = torch.Generator().manual_seed(0)
    drawn = _positive(model, mask, generator)
    inputs = tree_map(lambda one: _like(one, generator) if isinstance(one, Tensor) else one, example)
    names = {id(parameter): name for name, parameter in drawn.named_parameters()}
    met: dict[str, Tensor] = {}  # bool, one an input
    hooks = []
    for layer in drawn.modules():
        if isinstance(layer, nn.Linear) or _is_ordinary(layer):
            name, axis = names[id(layer.weight)], -1 if isinstance(layer, nn.Linear) else 1

            def look(_: nn.Module, given: Any, name: str = name, axis: int = axis) -> None:
                here = given[0].movedim(axis, 0).flatten(1).any(1)
                met[name] = here | met.get(name, here)

            hooks.append(layer.register_forward_pre_hook(look))
        elif isinstance(layer, CENTRING):
            hooks.append(layer.register_forward_hook(lambda _, __, output: output.abs()))
    try:
        with torch.no_grad(), straight(drawn):
            drawn(*inputs)
    except Exception:  # whatever the network's own code raises
        return dict(mask)
    found = dict(mask)
    for name, parameter in model.named_parameters():
        if name in met and not met[name].all():
            keeps = found.get(name, torch.ones(parameter.shape, dtype=torch.bool)).clone()
            keeps[:, ~met[name].to(keeps.device)] = False
            found[name] = keeps
    return {name: found[name] for name, _ in model.named_parameters() if name in found}


@torch.no_grad()
def _positive(model: nn.Module, mask: Mapping[str, Tensor], generator: torch.Generator) -> nn.Module:
    """Return a copy of a network under a mask, of positive numbers that do not grow from layer to layer."""
    found = copy.deepcopy(model).cpu().double().eval()
    for name, parameter in found.named_parameters():
        parameter.copy_(_like(parameter, generator) / (parameter[0].numel() if parameter.dim() > 1 else 1))
        if name in mask:
            parameter.masked_fill_(~mask[name].cpu(), 0.0)
    for layer in found.modules():
        if isinstance(layer, _BatchNorm):
            layer.reset_running_stats()
    return found


def _like(given: Tensor, generator: torch.Generator) -> Tensor:
    """Return numbers from .5 to 1.5 in the place of real ones."""
    if not given.is_floating_point():
        return given.cpu()
    return torch.rand(given.shape, generator=generator, dtype=torch.float64) + 0.5


def _is_ordinary(layer: nn.Module) -> bool:
    return isinstance(layer, _ConvNd) and not isinstance(layer, _ConvTransposeNd) and layer.groups == 1

"""The scales of batch norms, and what else belongs to a channel that one of them scales."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from lth_ray.models.flops import like
from lth_ray.models.tied import evaluating

LAYERS = ("conv1d", "conv2d", "conv3d", "linear")  # functions of torch that make channels


def scale_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the scales of a network's batch norms by name, in order of registration."""
    found = {id(layer.weight) for layer in model.modules() if isinstance(layer, _BatchNorm) and layer.affine}
    return {name: parameter for name, parameter in model.named_parameters() if id(parameter) in found}


def batch_norm_tensors(model: nn.Module) -> list[str]:
    """Return the names in the state dict of all that belongs to batch norms: scales, shifts and running statistics."""
    layers = [name for name, layer in model.named_modules() if isinstance(layer, _BatchNorm)]
    own = {f"{name}.{key}" if name else key for name in layers for key in model.get_submodule(name).state_dict()}
    return [name for name in model.state_dict() if name in own]


@dataclass(frozen=True)
class Scale:
    """The scale of a batch norm, one number a channel.

    name: of the parameter.
    members: parameters whose first axis are the same channels, and which serve nothing else: the norm's bias, and the
        weight and bias of the layer whose output it alone normalises. Behind an addition there is no such layer.
    """

    name: str
    members: tuple[str, ...]


def scales(model: nn.Module, example: tuple[Any, ...]) -> tuple[Scale, ...]:
    """Return the scales of a network's batch norms, as one call with `example` meets them.

    example: what the model is called with for one example.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    reading = _Reading(names, set(scale_parameters(model)))
    first = next(model.parameters())
    with evaluating(model), torch.no_grad(), reading:
        model(*(like(first, given) for given in example))
    return tuple(Scale(name, reading.members(name)) for name in reading.norms)


class _Reading(TorchFunctionMode):
    """Follows a call: which batch norm reads what a layer has put out, and what else does.

    made: {output: (the layer's parameters, the output itself, so that no other takes its id)}
    norms: {scale: (the norm's bias, its input, held for the same reason)}
    shared: outputs that something else reads as well.
    """

    def __init__(self, names: dict[int, str], scales: set[str]) -> None:
        super().__init__()
        self.names, self.scales = names, scales
        self.made: dict[int, tuple[list[str], torch.Tensor]] = {}
        self.norms: dict[str, tuple[list[str], torch.Tensor]] = {}
        self.shared: set[int] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)]
        own = [self.names[id(one)] for one in tensors if id(one) in self.names]
        scale = next((name for name in own if name in self.scales), None)
        if getattr(func, "__name__", "") == "batch_norm" and scale is not None:
            self.shared |= {id(tensors[0])} & {id(source) for _, source in self.norms.values()}
            self.norms[scale] = [name for name in own if name != scale], tensors[0]
        elif any(isinstance(one, torch.Tensor) for one in tree_leaves(result)):
            self.shared |= {id(one) for one in tensors} & self.made.keys()
        if getattr(func, "__name__", "") in LAYERS and own and isinstance(result, torch.Tensor):
            self.made[id(result)] = own, result
        return result

    def members(self, scale: str) -> tuple[str, ...]:
        own, source = self.norms[scale]
        layer = self.made[id(source)][0] if id(source) in self.made.keys() - self.shared else ()
        return (*own, *layer)

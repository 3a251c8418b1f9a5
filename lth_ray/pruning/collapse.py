"""Layer collapse: layers without a weight, and networks that no path leads through any more (Tanaka et al. 2020)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lth_ray.models import functional
from lth_ray.models.detection import straight
from lth_ray.models.flops import like
from lth_ray.pruning.flow import NORMALISATIONS, linear_normalisations, outputs_of
from lth_ray.pruning.masks import layer_densities

LEVEL = 0.75  # of outputs: activations that are flat from 1 on, as Hardtanh, still have a gradient there


def collapse(model: nn.Module, mask: Mapping[str, Tensor], example: tuple[Any, ...]) -> dict[str, Any]:
    """Return what a mask has done to layers, as plain data.

    empty_layers: the number of layers that keep no weight.
    cut: True where no path of kept weights leads from the network's input to its output.
    lowest_layer_density: that of the sparsest layer.
    max_compression: how many weights there are for each layer; a higher compression must empty one.

    Biases and scales that the mask covers are no layers, but where it covers nothing else.
    example: what the model is called with for one example.
    """
    layers = {name: keeps for name, keeps in mask.items() if keeps.dim() > 1} or mask
    densities = layer_densities(layers)
    return {
        "empty_layers": sum(density == 0 for density in densities.values()),
        "cut": not is_connected(model, mask, example),
        "lowest_layer_density": min(densities.values()),
        "max_compression": sum(keeps.numel() for keeps in layers.values()) / len(layers),
    }


def is_connected(model: nn.Module, mask: Mapping[str, Tensor], example: tuple[Any, ...]) -> bool:
    """Return whether a path of kept weights leads from the inputs to the outputs; the model is left as it was.

    The network is called with ones for kept and zeros for pruned weights, ones for others and no biases. What comes
    out of a layer is made LEVEL wherever it is not 0, so that no number of paths is too large or too small.
    Outputs then have a gradient with respect to the inputs exactly where there is a path; inputs that are words have
    none, and what counts are outputs that are not 0.
    """
    first = next(model.parameters())
    tensors = {name: _flat(name, value, mask) for name, value in _own_tensors(model)}
    given = [like(first, one) for one in example]
    inputs = [torch.ones_like(one, requires_grad=True) if _is_real(one) else one for one in given]
    with torch.enable_grad(), _levelled(model, mask), linear_normalisations(model), straight(model):
        called = tuple(one * 1.0 if _is_real(one) else one for one in inputs)  # no leaf, which nothing may write to
        total = outputs_of(functional(model)(tensors, called))
        leaves = [one for one in inputs if _is_real(one)]
        if not leaves:
            return bool(total > 0)
        if not total.requires_grad:
            return False
        gradients = torch.autograd.grad(total, leaves, materialize_grads=True)
    return any(bool(gradient.any()) for gradient in gradients)


def _own_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


def _flat(name: str, value: Tensor, mask: Mapping[str, Tensor]) -> Tensor:
    """Return what stands for a parameter or a buffer."""
    if "bias" in name.rpartition(".")[2]:  # and `in_proj_bias` of attention
        return torch.zeros_like(value)
    if name in mask:
        return mask[name].to(value.device, value.dtype)
    return torch.ones_like(value) if value.is_floating_point() else value.clone()


def _is_real(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


@contextmanager
def _levelled(model: nn.Module, mask: Mapping[str, Tensor]) -> Iterator[None]:
    """Make the outputs of layers whose weights the mask covers LEVEL wherever they are not 0."""
    hooks = [
        module.register_forward_hook(_at_level)
        for path, module in model.named_modules()
        if not isinstance(module, NORMALISATIONS)
        and any((f"{path}.{name}" if path else name) in mask for name, _ in module.named_parameters(recurse=False))
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _at_level(module: nn.Module, inputs: Any, outputs: Any) -> Any:
    if not _is_real(outputs):
        return outputs
    size = outputs.detach()
    return LEVEL * outputs / torch.where(size == 0, torch.ones_like(size), size)

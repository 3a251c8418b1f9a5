"""Strided 1x1 convolutions of a few channels, which oneDNN must not be given in channels_last.

Where a pixel has fewer channels than a vector has lanes, its gradient of their weights writes beyond its own memory: it
is wrong, or ends the process sooner or later. https://github.com/uxlfoundation/oneDNN/issues/6035
"""

from types import MethodType

import torch
from torch import Tensor, nn

LANES = 8  # floats of a vector of AVX2


def few_in_nchw(model: nn.Module) -> None:
    """Have such convolutions of a network on a CPU take images and weights in NCHW, in place; names stay."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d) and is_endangered(layer):
            layer.weight.data = _in_nchw(layer.weight.data)
            layer.forward = MethodType(_forward, layer)  # type: ignore[method-assign]


def is_endangered(layer: nn.Conv2d) -> bool:
    strided = layer.kernel_size == (1, 1) and max(layer.stride) > 1
    return strided and layer.in_channels // layer.groups < LANES


def _forward(layer: nn.Conv2d, images: Tensor) -> Tensor:
    return type(layer).forward(layer, _in_nchw(images))


def _in_nchw(images: Tensor) -> Tensor:
    """Return a copy: `contiguous` would keep the strides of one pixel or channel, and by these the layout is chosen."""
    return images.clone(memory_format=torch.contiguous_format)

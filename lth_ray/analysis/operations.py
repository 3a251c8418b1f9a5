"""The operations of a network whose effect on hidden units is known."""

import operator
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

# Layers that make units of their own, and over how many axes behind the units they are moved.
CONVOLUTIONS: dict[type[nn.Module], int] = {nn.Conv1d: 1, nn.Conv2d: 2, nn.Conv3d: 3}
# What treats every unit by itself and all alike. A name stands for a tensor's method.
UNITWISE_MODULES = (
    nn.Identity, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Hardswish, nn.Hardtanh, nn.Sigmoid,
    nn.Tanh, nn.Softplus, nn.Dropout, nn.Dropout2d, nn.Dropout3d, nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d,
    nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d,
    nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d,
)  # fmt: skip
UNITWISE: frozenset[str | Callable[..., object]] = frozenset({
    torch.relu, F.relu, F.relu6, F.leaky_relu, F.elu, F.gelu, F.silu, F.hardswish, F.hardtanh, F.softplus,
    torch.sigmoid, F.sigmoid, torch.tanh, F.tanh, F.dropout, F.dropout2d, F.max_pool1d, F.max_pool2d, F.max_pool3d,
    F.avg_pool1d, F.avg_pool2d, F.avg_pool3d, F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d,
    F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d,
    "relu", "relu_", "sigmoid", "tanh", "contiguous", "clone",
})  # fmt: skip
# The same of two tensors, of which one may be a number.
PAIRWISE: frozenset[str | Callable[..., object]] = frozenset({
    operator.add, operator.iadd, operator.sub, operator.mul, operator.truediv, torch.add, torch.sub, torch.mul,
    torch.div, "add", "add_", "sub", "mul", "div",
})  # fmt: skip
MEANS: frozenset[str | Callable[..., object]] = frozenset({torch.mean, "mean"})
FLATTENINGS: frozenset[str | Callable[..., object]] = frozenset({torch.flatten, "flatten"})
VIEWS: frozenset[str | Callable[..., object]] = frozenset({"view", "reshape"})
# As in x.view(x.size(0), -1).
SIZES: frozenset[str | Callable[..., object]] = frozenset({"size", operator.getitem, getattr})

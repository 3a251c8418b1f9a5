"""Initial weights: Gaussian Glorot, Kaiming or a plain Gaussian, drawn from one seed."""

from collections.abc import Callable
from math import isfinite

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from lth_ray.config import ConfigError, nearest
from lth_ray.models.weights import is_linear, is_transposed, prunable

Draw = Callable[[torch.Tensor, torch.Generator | None], object]


def _glorot(weight: torch.Tensor, generator: torch.Generator | None) -> None:
    nn.init.xavier_normal_(weight, generator=generator)


def _kaiming(weight: torch.Tensor, generator: torch.Generator | None) -> None:
    nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator)


SCHEMES: dict[str, Draw] = {"glorot": _glorot, "kaiming": _kaiming}


def initialise(model: nn.Module, init: str | float, generator: torch.Generator | None = None) -> None:
    """Draw every prunable weight in order of registration and set the biases of those layers to zero.

    init: "glorot", a normal of variance 2 / (fan_in + fan_out) (Glorot & Bengio 2010), as Frankle & Carbin 2019;
        "kaiming", a normal of variance 2 / fan_in (He et al. 2015); or a number, a normal's standard deviation.
    generator: None draws from torch's global one. Other parameters (batch norm: scale 1, shift 0) stay.
    """
    draw = _scheme(init)
    transposed = {id(module.weight) for module in model.modules() if is_transposed(module)}
    with torch.no_grad():
        for weight in prunable(model).values():
            draw(weight.transpose(0, 1) if id(weight) in transposed else weight, generator)
        for module in model.modules():
            if (isinstance(module, _ConvNd) or is_linear(module)) and isinstance(module.bias, torch.Tensor):
                module.bias.zero_()


def _scheme(init: str | float) -> Draw:
    if isinstance(init, str):
        if init not in SCHEMES:
            valid = nearest(init, ["default", *SCHEMES])
            raise ConfigError(f"Model.init = {init!r}: {valid} (or give a standard deviation)")
        return SCHEMES[init]
    if not (isfinite(init) and init > 0):
        raise ConfigError(f"Model.init = {init!r}: give a standard deviation above 0")
    return lambda weight, generator: nn.init.normal_(weight, std=init, generator=generator)

"""Initial weights: Gaussian, orthogonal, sparse or by a function of one's own, drawn from one seed."""

import inspect
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from lth_ray.config import ConfigError, nearest, short_name
from lth_ray.models.weights import is_linear, is_transposed, prunable

Draw = Callable[[torch.Tensor, torch.Generator | None], object]
Scheme = str | float | Callable[..., Any]
CONNECTIONS = 15  # of a unit of "sparse" weights


def _glorot(weight: torch.Tensor, generator: torch.Generator | None) -> None:
    nn.init.xavier_normal_(weight, generator=generator)


def _kaiming(weight: torch.Tensor, generator: torch.Generator | None) -> None:
    nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator)


def _orthogonal(weight: torch.Tensor, generator: torch.Generator | None) -> None:
    drawn = torch.empty(weight.shape, dtype=weight.dtype, device=weight.device)  # which, unlike a transposed view, lies
    weight.copy_(nn.init.orthogonal_(drawn, gain=nn.init.calculate_gain("relu"), generator=generator))  # in one piece


def _sparse(weight: torch.Tensor, generator: torch.Generator | None) -> None:
    inputs = weight[0].numel()
    few = min(CONNECTIONS, inputs)
    drawn = torch.empty(len(weight), inputs, dtype=weight.dtype, device=weight.device)
    chosen = drawn.uniform_(generator=generator).argsort(dim=1, stable=True)[:, :few]
    values = drawn.normal_(std=(2 / few) ** 0.5, generator=generator).gather(1, chosen)
    weight.copy_(torch.zeros_like(drawn).scatter_(1, chosen, values).view(weight.shape))


SCHEMES: dict[str, Draw] = {"glorot": _glorot, "kaiming": _kaiming, "orthogonal": _orthogonal, "sparse": _sparse}
SCALED = ("glorot", "kaiming")  # schemes whose weights a layer of other fans draws but for one factor


def initialise(
    model: nn.Module,
    init: Scheme,
    generator: torch.Generator | None = None,
    offered: Mapping[str, Any] | None = None,
) -> None:
    """Draw every prunable weight in order of registration and set the biases of those layers to zero.

    init: "glorot", a normal of variance 2 / (fan_in + fan_out) (Glorot & Bengio 2010), as Frankle & Carbin 2019;
        "kaiming", a normal of variance 2 / fan_in (He et al. 2015); "orthogonal", a random matrix [outputs, inputs]
        whose rows or columns are orthonormal (Saxe et al. 2014), times the gain sqrt(2) of ReLU; "sparse", 15 random
        inputs of each unit (all, where there are fewer) and zeros (Martens 2010), of variance 2 / 15, as Kaiming's for
        as many; a number, a normal's standard deviation; or a function, see `Model.init`, which alone says what
        becomes of biases.
    generator: None draws from torch's global one. Other parameters (batch norm: scale 1, shift 0) stay.
    offered: what a function is given besides `network` and `generator`, by name, where it takes it.
    """
    if callable(init):
        _by_function(model, init, generator or torch.default_generator, offered or {})
        return
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


def _by_function(
    model: nn.Module, init: Callable[..., Any], generator: torch.Generator, offered: Mapping[str, Any]
) -> None:
    label = f"Model.init = {short_name(init)}"
    given = {"network": model, "generator": generator, **offered}
    try:
        parameters = inspect.signature(init).parameters
    except (TypeError, ValueError):
        raise ConfigError(f"{label} does not say what it takes: give a def that calls it") from None
    takes_all = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    unknown = [name for name, one in parameters.items() if name not in given and one.default is one.empty]
    if "network" not in parameters or (unknown and not takes_all):
        raise ConfigError(
            f"{label}: it is called with those of {', '.join(given)} that it takes, and `network` among them; give "
            "def init(network, generator): ..."
        )
    before = {name: value.shape for name, value in model.state_dict().items()}
    found = init(**{name: value for name, value in given.items() if takes_all or name in parameters})
    if found is not None:
        raise ConfigError(f"{label} returned a {type(found).__name__}: change the network's weights in place")
    if before != {name: value.shape for name, value in model.state_dict().items()}:
        raise ConfigError(f"{label} has changed which tensors the network has: change their values alone")
    for name, value in model.named_parameters():
        if not value.isfinite().all():
            raise ConfigError(f"{label}: {name!r} has values that are NaN or infinite; give finite ones")

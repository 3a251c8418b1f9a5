"""An exponential moving average of a network's weights, kept in the network itself as buffers.

Polyak & Juditsky 1992 in the form that is usual now: after each step average <- decay x average + (1 - decay) x weight.
As a part of the state it is kept, rewound and interpolated with the weights.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

HOLDER = "averages"


def attach(model: nn.Module) -> None:
    """Give `model` averages, which begin as its weights."""
    holder = nn.Module()
    for name, parameter in model.named_parameters():
        holder.register_buffer(_key(name), parameter.detach().clone())
    model.add_module(HOLDER, holder)


def named(model: nn.Module) -> dict[str, Tensor]:
    """Return {parameter: its average}; empty where the network has no averages."""
    holder = dict(model.named_children()).get(HOLDER)
    return {name: holder.get_buffer(_key(name)) for name, _ in model.named_parameters()} if holder is not None else {}


def pairs(model: nn.Module) -> list[tuple[nn.Parameter, Tensor]]:
    """Return (weight, its average) for every parameter."""
    found = named(model)
    return [(parameter, found[name]) for name, parameter in model.named_parameters()] if found else []


@torch.no_grad()
def begin(model: nn.Module) -> None:
    """Begin the averages anew, as the weights."""
    for parameter, average in pairs(model):
        average.copy_(parameter)


@torch.no_grad()
def follow(found: list[tuple[nn.Parameter, Tensor]], decay: float) -> None:
    """Move the averages after an optimizer step."""
    torch._foreach_lerp_([average for _, average in found], [weight for weight, _ in found], 1 - decay)


@contextmanager
def averaged(model: nn.Module) -> Iterator[None]:
    """Give the network its averages as weights, where it has any; afterwards its own again, bit for bit."""
    found = pairs(model)
    own = [parameter.data for parameter, _ in found]
    for parameter, average in found:
        parameter.data = average
    try:
        yield
    finally:
        for (parameter, _), data in zip(found, own, strict=True):
            parameter.data = data


def measured(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict as the network is measured, under the network's own names: averages where it has
    them.
    """
    found = own(state)
    return found | {name: state[at] for name in found if (at := f"{HOLDER}.{_key(name)}") in state}


def own(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict without averages."""
    return {name: value for name, value in state.items() if not name.startswith(f"{HOLDER}.")}


def _key(name: str) -> str:
    """Return a parameter's name as that of a buffer of one module, which holds no dots."""
    return name.replace(".", "/")

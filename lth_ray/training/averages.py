"""An average of a network's weights, kept in the network itself as buffers.

Exponential (Polyak & Juditsky 1992 in the form that is usual now): after each step average <- decay x average +
(1 - decay) x weight. Or the mean over the ends of epochs (epoch_averages), with the batch norms' statistics of its own.
As a part of the state it is kept, rewound and interpolated with the weights. torch.optim.swa_utils has the same update
of the exponential one, bit for bit, but its AveragedModel is a copy beside the network, which no state of that holds.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

HOLDER, COLLECTED = "averages", "collected"


def attach(model: nn.Module, over_epochs: bool = False) -> None:
    """Give `model` averages, which begin as its weights.

    over_epochs: with statistics of batch norms, and the number of epochs that they are of.
    """
    holder = nn.Module()
    for name, own in _averageable(model) if over_epochs else model.named_parameters():
        holder.register_buffer(_key(name), own.detach().clone())
    if over_epochs:
        holder.register_buffer(COLLECTED, torch.zeros((), dtype=torch.int64))
    model.add_module(HOLDER, holder)


def named(model: nn.Module) -> dict[str, Tensor]:
    """Return {parameter or statistic: its average}; empty where the network has no averages."""
    holder = dict(model.named_children()).get(HOLDER)
    held = {} if holder is None else dict(holder.named_buffers())
    return {name: held[_key(name)] for name, _ in _averageable(model) if _key(name) in held}


def pairs(model: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """Return (weight or statistic, its average) for all that has one."""
    found = named(model)
    return [(own, found[name]) for name, own in _averageable(model) if name in found]


@torch.no_grad()
def begin(model: nn.Module) -> None:
    """Begin the averages anew, as the weights."""
    for own, average in pairs(model):
        average.copy_(own)
    if (held := collected(model)) is not None:
        held.zero_()


def collected(model: nn.Module) -> Tensor | None:
    """Return the number of epochs that a mean over epochs has, int64; None for another average."""
    holder = dict(model.named_children()).get(HOLDER)
    return None if holder is None else dict(holder.named_buffers()).get(COLLECTED)


@torch.no_grad()
def follow(found: list[tuple[Tensor, Tensor]], share: float) -> None:
    """Move the averages after an optimizer step: the present weights have this share of them."""
    torch._foreach_lerp_([average for _, average in found], [weight for weight, _ in found], share)


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


def _averageable(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield parameters and the running statistics of batch norms, by name."""
    yield from model.named_parameters()
    for path, layer in model.named_modules():
        if isinstance(layer, _BatchNorm) and layer.running_mean is not None and layer.running_var is not None:
            yield f"{path}.running_mean", layer.running_mean
            yield f"{path}.running_var", layer.running_var


def _key(name: str) -> str:
    """Return a parameter's name as that of a buffer of one module, which holds no dots."""
    return name.replace(".", "/")

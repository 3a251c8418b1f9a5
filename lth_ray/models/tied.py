"""Tensors that a network has under several names, and calls of it with others or in another mode."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from lth_ray.config import ConfigError

Ties = dict[str, str]


def tied(model: nn.Module) -> Ties:
    """Return {another name: its name} of each tensor that the network's state dict has more than once.

    A tensor's name is the first it has there, which is that of `named_parameters()` and so of masks.
    """
    first: dict[int, str] = {}
    state = model.state_dict(keep_vars=True)
    return {name: first[id(one)] for name, one in state.items() if first.setdefault(id(one), name) != name}


def retied(state: Mapping[str, torch.Tensor], ties: Mapping[str, str]) -> dict[str, torch.Tensor]:
    """Return `state` with each tensor under all of its names, as it is under its own.

    It is as under another name where it is not there under its own. None of them shares memory.

    `load_state_dict` fills such a tensor once a name: the last would win over what a mask has done to the first.
    """
    found = dict(state)
    for other, name in ties.items():
        if name not in found and other in found:
            found[name] = found[other].clone()
    return found | {other: found[name].clone() for other, name in ties.items() if name in found}


def under_own_names(masks: Mapping[str, torch.Tensor], ties: Mapping[str, str]) -> dict[str, torch.Tensor]:
    """Return `masks`, each of a tensor with several names under its own.

    Raise ConfigError where those of two names differ.
    """
    found = {name: keeps for name, keeps in masks.items() if name not in ties}
    for name, keeps in masks.items():
        own = ties.get(name, name)
        if not torch.equal(found.setdefault(own, keeps), keeps):
            raise ConfigError(f"the masks of {own!r} and {name!r} differ, and these are one tensor; give both one mask")
    return found


def functional(model: nn.Module) -> Callable[[Mapping[str, torch.Tensor], tuple[Any, ...]], Any]:
    """Return fn(tensors, inputs): the network called with these in place of its own, each wherever the
    network uses it.

    torch.func.functional_call would tie them, too, but leaves a layer that is registered twice with what it was called
    with (torch 2.14); so every place is named here, each layer's once.
    """
    names: dict[int, str] = {}
    places: Ties = {}
    for path, module in model.named_modules():
        for name, own in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
            place = f"{path}.{name}" if path else name
            if names.setdefault(id(own), place) != place:
                places[place] = names[id(own)]

    def call(tensors: Mapping[str, torch.Tensor], inputs: tuple[Any, ...]) -> Any:
        everywhere = {place: tensors[name] for place, name in places.items() if name in tensors}
        return functional_call(model, {**tensors, **everywhere}, inputs, tie_weights=False)

    return call


@contextmanager
def evaluating(model: nn.Module, but: Iterable[nn.Module] = ()) -> Iterator[None]:
    """Put a network in evaluation mode; afterwards every module is in its own again.

    but: modules of it that are in training mode meanwhile.
    """
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        for module in but:
            module.training = True
        yield
    finally:
        for module, was in modes:
            module.training = was

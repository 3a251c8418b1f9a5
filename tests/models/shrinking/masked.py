"""Masks of whole units, and what a network gives under them."""

import copy

import numpy as np
import torch
from torch import nn

from lth_ray.models import coupled
from lth_ray.pruning import Mask


def without_units(model: nn.Module, example: tuple, every: int = 3, groups=None) -> Mask:
    """Return the mask without each third unit of each group: all that belongs to it."""
    coupling = coupled(model, example)
    gone, at = np.zeros(sum(coupling.sizes) + 1, bool), 0
    for number, size in enumerate(coupling.sizes):
        if size > 1 and (groups is None or number in groups):
            gone[at : at + size : every] = True
        at += size
    mask = {}
    for name, parameter in model.named_parameters():
        keeps = torch.ones(parameter.shape, dtype=torch.bool)
        for axis, units in enumerate(coupling.units.get(name, ())):
            keeps &= torch.from_numpy(~gone[units]).view([-1 if axis == one else 1 for one in range(parameter.dim())])
        if not keeps.all():
            mask[name] = keeps
    return mask


def under(model: nn.Module, mask: Mask) -> nn.Module:
    """Return a copy of the network with its pruned weights at zero."""
    found = copy.deepcopy(model)
    with torch.no_grad():
        for name, parameter in found.named_parameters():
            if name in mask:
                parameter.masked_fill_(~mask[name], 0.0)
    return found


def size_of(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())

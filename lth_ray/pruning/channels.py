"""Masks of channels: a channel goes with all that belongs to it (network slimming, Liu et al. 2017)."""

from collections.abc import Mapping, Sequence

import torch

from lth_ray.models.scales import Scale
from lth_ray.pruning.masks import Mask

BN_SCALE = "bn_scale"  # the criterion that ranks channels by |scale| of their batch norm


def of_channels(mask: Mapping[str, torch.Tensor], scales: Sequence[Scale]) -> Mask:
    """Return the part of a mask that covers scales: bool, one a channel."""
    return {scale.name: mask[scale.name] for scale in scales if scale.name in mask}


def with_members(
    channels: Mapping[str, torch.Tensor], scales: Sequence[Scale], parameters: Mapping[str, torch.Tensor]
) -> Mask:
    """Return the mask of whole channels: of each scale that `channels` covers, and of its members, whose first axis it
    runs along.

    parameters: all of the network, whose order the mask has.
    """
    found = {}
    for scale in (scale for scale in scales if scale.name in channels):
        keeps = channels[scale.name]
        for name in (scale.name, *scale.members):
            shape = parameters[name].shape
            rows = keeps.view(-1, *[1] * (len(shape) - 1))
            found[name] = rows.expand(shape).contiguous()
    return {name: found[name] for name in parameters if name in found}

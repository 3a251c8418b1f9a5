"""Carried state, which passes from step to step beside weights and optimizer: a recurrent network's, a
game's.

It belongs to places in the batch, not to workers: each tensor's first axis runs over the examples of the global batch,
of which a worker has its part. A checkpoint holds the whole, beside the optimizer's state and like that: a training
that takes up an optimizer's state takes this up too, in a team of any size, and one with a fresh optimizer begins it
anew.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from lth_ray.store import Tensors
from lth_ray.training.team import Team

CARRIED, MASK = "carried", "mask"  # what a state may hold beside the optimizer's: the latter where the mask changes


def joined(groups: Sequence[Tensors]) -> Tensors:
    """Join in order what the groups of a worker's part carry on."""
    return {name: torch.cat([group[name] for group in groups]).detach() for name in groups[0]}


def gathered(part: Mapping[str, torch.Tensor], team: Team) -> Tensors:
    """Return what the whole batch carries on, from each worker's part, all as wide as the widest. A collective."""
    return {name: team.gather(_filled_up(part[name], team)) for name in sorted(part)}


def _filled_up(tensor: torch.Tensor, team: Team) -> torch.Tensor:
    """Return it with zeros behind, where another worker's has a longer second axis."""
    if tensor.dim() < 2 or team.size == 1:
        return tensor
    (width,) = team.largest([tensor.shape[1]], tensor.device)
    filled = tensor.new_zeros(tensor.shape[0], width, *tensor.shape[2:])
    filled[:, : tensor.shape[1]] = tensor
    return filled


def without_carried(stored: Mapping[str, Any]) -> tuple[dict[str, Any], Tensors]:
    """Return (the optimizer's state, what the whole batch carries) of what a state holds beside the model."""
    optimizer = {name: value for name, value in stored.items() if name not in (CARRIED, MASK)}
    return optimizer, stored.get(CARRIED, {})

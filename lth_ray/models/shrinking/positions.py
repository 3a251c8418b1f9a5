"""The positions of a network's tensors that a smaller network keeps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lth_ray.models.graph import Coupling

Kept = tuple[Tensor | None, ...]  # for each axis the positions that stay, int64, in their order; None: all


@dataclass(frozen=True)
class Shrinking:
    """The part of a network that a smaller one keeps.

    kept: by name in the state dict; tensors that stay whole are left out.
    drawn: {dropout: for each axis but the first of what it gets (the size in the whole network, positions that stay),
        None for all}.
    left_in: {layer: why units that the mask removes from it stay, with zeros}.
    """

    kept: Mapping[str, Kept]
    drawn: Mapping[str, tuple[tuple[int, Tensor] | None, ...]] = field(default_factory=dict)
    left_in: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """True where anything is left away."""
        return bool(self.kept)

    def small(self, name: str, tensor: Tensor) -> Tensor:
        """Return the part of a tensor that stays, a copy where it is not all of it."""
        for axis, positions in enumerate(self.kept.get(name, ())):
            if positions is not None:
                tensor = tensor.index_select(axis, positions.to(tensor.device))
        return tensor

    def put_back(self, name: str, small: Tensor, whole: Tensor) -> None:
        """Copy the part that stays to where it belongs in the whole tensor."""
        if name in self.kept:
            whole[self.places(name, whole.shape, whole.device)] = small
        else:
            whole.copy_(small)

    def places(self, name: str, shape: Sequence[int], device: torch.device) -> tuple[Tensor, ...]:
        """Return what indexes the part that stays in a tensor of this shape."""
        kept = self.kept.get(name, (None,) * len(shape))
        every = [
            torch.arange(size, device=device) if positions is None else positions.to(device)
            for size, positions in zip(shape, kept, strict=True)
        ]
        return tuple(
            one.view([-1 if axis == own else 1 for axis in range(len(shape))]) for own, one in enumerate(every)
        )

    def stays(self, name: str, shape: Sequence[int]) -> Tensor:
        """Return a bool tensor of this shape, True at the part that stays."""
        found = torch.zeros(tuple(shape), dtype=torch.bool)
        found[self.places(name, shape, found.device)] = True
        return found


def without(
    coupling: Coupling,
    dropouts: Mapping[str, str],
    removed: NDArray[np.bool_],
    left_in: Mapping[str, str] | None = None,
) -> Shrinking:
    """Return what stays without some units.

    dropouts: {name in the coupling: the dropout that it stands for}.
    removed: bool, one a unit of the coupling.
    """
    kept, drawn = {}, {}
    for name, axes in coupling.units.items():
        stays = [np.append(~removed, True)[units] for units in axes]  # the last is that of -1
        if all(one.all() for one in stays):
            continue
        positions = [None if one.all() else torch.from_numpy(np.flatnonzero(one)) for one in stays]
        if name in dropouts:
            sizes = map(len, axes)
            drawn[dropouts[name]] = tuple(
                None if one is None else (size, one) for size, one in zip(sizes, positions, strict=True)
            )
        else:
            kept[name] = tuple(positions)
    return Shrinking(kept, drawn, left_in or {})

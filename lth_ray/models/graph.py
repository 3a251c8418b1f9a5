"""A network's coupled slices: the units of its layers, read off one call of the network.

The units that one layer puts out are those that the next takes in, and an addition makes those of its two sides the
same. Units are channels, hidden units of linear and recurrent layers, heads of attention, groups of grouped
convolutions. Any order of the units of a group, applied wherever they have their places, leaves the network's function
as it is; without what belongs to a unit it is a smaller network.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from lth_ray.config import ConfigError
from lth_ray.models.detection import straight
from lth_ray.models.following import Following
from lth_ray.models.marks import FIXED, Book, Marked
from lth_ray.models.tied import evaluating, functional


@dataclass(frozen=True)
class Coupling:
    """The units of a network, in groups whose units may be exchanged.

    sizes: units in each group; the units of the first come first, then those of the second.
    units: by name in the state dict, for each axis of the tensor an int64 array: the unit of each position
        along it, -1 for none (inputs, outputs, positions in an image). A unit may have several positions
        along an axis (behind a flattened image, or as a head), and an axis units of several groups (behind a
        concatenation). Tensors without units are left out.
    """

    sizes: tuple[int, ...]
    units: Mapping[str, tuple[NDArray[np.int64], ...]]

    def places(self, name: str) -> list[dict[int, Tensor]]:
        """Return {group: int64 [units, positions of each]} for each axis of a tensor, of the groups that have
        units there.
        """
        return [self._along(units) for units in self.units[name]]

    def _along(self, units: NDArray[np.int64]) -> dict[int, Tensor]:
        order = np.argsort(units, kind="stable")
        bounds = np.searchsorted(units[order], np.cumsum([0, *self.sizes]))
        ends = zip(self.sizes, bounds[:-1], bounds[1:], strict=True)
        return {
            group: torch.from_numpy(order[first:last]).view(size, -1)
            for group, (size, first, last) in enumerate(ends)
            if last > first
        }


def coupled(model: nn.Module, example: tuple[Any, ...]) -> Coupling:
    """Return the units of `model`. Its inputs and outputs are none, as they have a meaning.

    example: what the model is called with for one example; of its tensors only the shapes matter.

    The network is called without numbers (on torch's meta device), in evaluation mode; where parameters are left over
    (GoogLeNet's auxiliary classifiers), in training mode as well. What neither uses is in no group.
    Errors: ConfigError for a network whose path depends on numbers, and for an operation of which it is not known what
    it does to units, with its layer.
    """
    book = Book()
    tensors = tensors_without_numbers(model)
    following = Following(model, book, tensors)
    try:
        with evaluating(model):
            _call(model, tensors, example, following)
            if any(name not in following.named for name, _ in model.named_parameters()):
                _call(model.train(), tensors, tuple(map(_twice, example)), following)
    finally:
        following.close()
    names = {id(tensor): name for name, tensor in (*model.named_parameters(), *model.named_buffers())}
    marked = {
        name: following.named[names[id(tensor)]]
        for name, tensor in model.state_dict(keep_vars=True).items()
        if names.get(id(tensor)) in following.named
    }
    return _grouped(book, marked)


def _call(model: nn.Module, tensors: Mapping[str, Tensor], example: tuple[Any, ...], following: Following) -> None:
    """Follow one call; what comes out keeps its place."""
    for one in tree_leaves(called_without_numbers(model, tensors, example, following)):
        if isinstance(one, Tensor):
            following.fix(one)


def tensors_without_numbers(model: nn.Module) -> dict[str, Tensor]:
    """Return what stands in for a network's parameters and buffers, by name, on torch's meta device."""
    every = (*model.named_parameters(), *model.named_buffers())
    return {name: torch.empty_like(tensor, device="meta") for name, tensor in every}


def called_without_numbers(
    model: nn.Module, tensors: Mapping[str, Tensor], example: tuple[Any, ...], within: AbstractContextManager[Any]
) -> Any:
    """Return what a network gives on torch's meta device, in the mode it is in.

    Raise ConfigError for a network whose own code fails there.
    tensors: those of `tensors_without_numbers`. within: what follows the call.
    """
    dtype = next((one.dtype for one in tensors.values() if one.is_floating_point()), None)
    inputs = tree_map(lambda one: _without_numbers(one, dtype), example)
    try:
        with torch.no_grad(), torch.device("meta"), straight(model), within:
            return functional(model)(tensors, inputs)
    except ConfigError:
        raise
    except Exception as error:  # whatever the network's own code raises when it meets no numbers
        raise ConfigError(
            f"{type(model).__name__} cannot be called without numbers to find its units "
            f"({type(error).__name__}: {error})"
        ) from error


def _without_numbers(given: Any, dtype: torch.dtype | None) -> Any:
    """Return an input of the network without numbers, in its precision."""
    if not isinstance(given, Tensor):
        return given
    return torch.empty_like(given, device="meta", dtype=dtype if given.is_floating_point() else None)


def _twice(given: Any) -> Any:
    """Return two examples in place of one: batch norm cannot be trained on one."""
    return torch.cat([given, given]) if isinstance(given, Tensor) else given


def _grouped(book: Book, marked: Mapping[str, Marked]) -> Coupling:
    """Return the units that have places in the network's tensors, in the order in which they are met there."""
    units = book.units()
    roles = book.roles(units)
    axes = {name: [_along(one, units, axis) for axis in range(len(one.shape))] for name, one in marked.items()}
    flat = np.concatenate([along for every in axes.values() for along in every] or [np.zeros(0, np.int64)])
    found, first = np.unique(flat[flat != units[FIXED]], return_index=True)
    groups: dict[int, list[int]] = {}  # by role
    for unit in found[np.argsort(first)]:
        groups.setdefault(int(roles[unit]), []).append(int(unit))
    number = np.full(len(roles), -1)
    number[[unit for group in groups.values() for unit in group]] = np.arange(len(found))
    named = {name: tuple(number[along] for along in every) for name, every in axes.items()}
    return Coupling(
        tuple(len(group) for group in groups.values()),
        {name: every for name, every in named.items() if any((along >= 0).any() for along in every)},
    )


def _along(marked: Marked, units: NDArray[np.int64], axis: int) -> NDArray[np.int64]:
    """Return the unit of each position along an axis of a tensor of the network."""
    none = torch.full((marked.shape[axis],), FIXED)
    marks = next((mark for mark in marked.marks if mark.shape[axis] > 1), none)
    found: NDArray[np.int64] = units[marks.flatten().numpy()]
    return found

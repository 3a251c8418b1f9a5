"""The layers of two networks of one family that correspond, and masks stretched from one to the other.

A network is told by the shapes of its tensors alone. Layers in a list that have tensors of equal shapes and follow one
another are a run; runs correspond in their order, and within one the j-th of n layers is that of the floor(j m / n)-th
of m. The same holds for the units of two layers of different width. After the elastic tickets of Chen et al. 2021
(arXiv:2103.16547), whose layers are repeated likewise.
"""

import re
from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

from lth_ray.config import ConfigError

Shapes = Mapping[str, tuple[int, ...]]
Layers = dict[int, dict[str, tuple[int, ...]]]  # {index in a list: {rest of the name: shape}}
LISTED = re.compile(r"(.*?)\.(\d+)\.(.*)")  # a tensor of a layer in a list


def corresponding(given: Shapes, own: Shapes, apart: Collection[str] = ()) -> dict[str, str]:
    """Return {tensor of the one network: tensor of the given one} whose mask and weights it takes over.

    apart: tensors of either that take over nothing, such as an output layer for other classes.

    Raises ConfigError, naming the layer, where there is none for it or one that cannot be stretched.
    """
    theirs, ours = ({name: one for name, one in some.items() if name not in apart} for some in (given, own))
    lists, found = _lists(theirs), {}
    for place, layers in _lists(ours).items():
        if place not in lists:
            raise ConfigError(f"layers {place!r} are none of the ticket's network; give a network of its family")
        numbers = _numbers(place, lists[place], layers)
        found.update(
            {
                f"{place}.{index}.{rest}": f"{place}.{numbers[index]}.{rest}"
                for index in layers
                for rest in layers[index]
            }
        )
    found.update({name: name for name in ours if LISTED.fullmatch(name) is None})
    units = {shape[0] for shape in theirs.values() if shape}
    for name in ours:
        _check(name, found[name], theirs.get(found[name]), ours[name], units)
    return {name: found[name] for name in ours}


def stretched(value: Tensor, shape: Sequence[int]) -> Tensor:
    """Return a tensor in another shape: along each dimension the j-th of n is the floor(j m / n)-th of m."""
    for dim, size in enumerate(shape):
        if value.shape[dim] != size:
            value = value.index_select(dim, torch.arange(size) * value.shape[dim] // size)
    return value


def _lists(shapes: Shapes) -> dict[str, Layers]:
    found: dict[str, Layers] = {}
    for name, shape in shapes.items():
        if listed := LISTED.fullmatch(name):
            found.setdefault(listed[1], {}).setdefault(int(listed[2]), {})[listed[3]] = shape
    return found


def _runs(layers: Layers) -> list[list[int]]:
    """Return the indices of layers that follow one another and have tensors of equal shapes, together."""
    runs: list[list[int]] = []
    for index, tensors in layers.items():
        if runs and layers[runs[-1][-1]] == tensors:
            runs[-1].append(index)
        else:
            runs.append([index])
    return runs


def _numbers(place: str, given: Layers, own: Layers) -> dict[int, int]:
    """Return {index of a layer: that of the given network's layer that it takes over from}."""
    theirs, ours = _runs(given), _runs(own)
    if len(theirs) != len(ours):
        extra = ours[len(theirs)][0] if len(ours) > len(theirs) else ours[-1][-1]
        raise ConfigError(
            f"layer '{place}.{extra}' has no counterpart: the layers {place!r} are {len(ours)} runs of equal ones, and "
            f"{len(theirs)} in the ticket's network; give a network of as many stages"
        )
    return {
        index: run[j * len(run) // len(mine)]
        for run, mine in zip(theirs, ours, strict=True)
        for j, index in enumerate(mine)
    }


def _check(name: str, of: str, given: tuple[int, ...] | None, own: tuple[int, ...], units: Collection[int]) -> None:
    """Raise ConfigError unless a mask of shape `given` can be stretched to `own`.

    units: the numbers of outputs of the given network's layers; inputs that are none of these are places of an image.
    """
    if given == own:
        return
    layer, dot, _ = name.rpartition(".")
    what = f"layer {layer if dot else name!r}"
    if given is None:
        raise ConfigError(f"{what} has no counterpart: the ticket's network has no {of!r}; give one of its family")
    shapes = f"{what} is {list(own)}, and {of!r} of the ticket's network {list(given)}"
    if len(given) != len(own) or given[2:] != own[2:]:
        raise ConfigError(f"{shapes}: kernels of another size take over no mask")
    for wide, narrow in ((max(n, m), min(n, m)) for n, m in zip(own, given, strict=True)):
        if wide % narrow:
            raise ConfigError(f"{shapes}: {wide} units are no multiple of {narrow}; give a width that is")
    if len(own) > 1 and own[1] != given[1] and given[1] not in units:
        raise ConfigError(
            f"{shapes}: its inputs are no units of another layer, but of the examples themselves; give examples of the "
            "ticket's shape (Data.channels = 3 gives grey images three channels), or a network with global pooling"
        )

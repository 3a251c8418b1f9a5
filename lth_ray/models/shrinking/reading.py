"""The units that a mask removes whole, and those of them that a smaller network can do without."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from lth_ray.models.graph import Coupling, coupled
from lth_ray.models.shrinking.agreement import Agreement
from lth_ray.models.shrinking.draws import with_places
from lth_ray.models.shrinking.network import build_small
from lth_ray.models.shrinking.positions import Shrinking, without

Units = NDArray[np.bool_]  # one a unit of a coupling
MIXING = (nn.LayerNorm, nn.RMSNorm)  # whose statistics are taken over units: zeros count in them


def shrinking(model: nn.Module, mask: Mapping[str, Tensor], example: tuple[Any, ...]) -> Shrinking:
    """Return what stays of `model` without the units that `mask` removes whole and nothing reads but as zeros.

    mask: {parameter: bool}, True keeps; example: what the model is called with for one example.

    A unit is removed whole where the mask leaves nothing of what makes it: rows of convolutions and linear layers,
    biases, scales and shifts of normalisations. Columns of what reads it need not be masked, as they meet zeros alone.
    Left in are units that a LayerNorm or RMSNorm takes its statistics over, the last of those that may be
    exchanged for each other, and those without which the network would compute something else: the smaller network is
    called with other weights, in evaluation and in training, and compared with the masked one.
    Raises ConfigError for a network whose units cannot be read, see `lth_ray.models.graph.coupled`.
    """
    placed, dropouts = with_places(model, example)
    coupling = coupled(placed, example)
    removed = removed_whole(model, coupling, mask)
    left_in = _leave_mixed(model, coupling, removed)
    groups = _groups(coupling, removed)
    if not groups:
        return Shrinking({}, left_in=left_in)
    try:
        agreement = Agreement(model, mask, example)
    except Exception as error:  # whatever the network's own code raises
        why = f"it cannot be called in double precision, to be compared ({type(error).__name__}: {error})"
        return Shrinking({}, left_in={type(model).__name__: why})

    def agrees(some: list[int]) -> bool:
        return agreement.holds(without(coupling, dropouts, _of(coupling, removed, some)))

    fitting = _agreeing(groups, agrees)
    for group in sorted({*groups} - {*fitting}):
        left_in[_layer_of(coupling, group)] = "the network would compute something else without the units that it makes"
    return without(coupling, dropouts, _of(coupling, removed, fitting), left_in)


def shrink(model: nn.Module, mask: Mapping[str, Tensor], example: tuple[Any, ...]) -> nn.Module:
    """Return a network without the units of `model` that `mask` removes whole; what else it prunes is zero there.

    mask: {parameter: bool}, True keeps; example: what the model is called with for one example. `model` stays as it is.

    The network gives what `model` gives under the mask, in evaluation and in training (dropout draws for other shapes),
    up to rounding. Raises ConfigError for a network whose units cannot be read, see `lth_ray.models.graph.coupled`.
    """
    masked = copy.deepcopy(model)
    with torch.no_grad():
        parameters = dict(masked.named_parameters())
        for name, kept in mask.items():
            parameters[name].masked_fill_(~kept.to(parameters[name].device), 0.0)
    return build_small(masked, shrinking(model, mask, example))


def removed_whole(model: nn.Module, coupling: Coupling, mask: Mapping[str, Tensor]) -> Units:
    """Return which units `mask` leaves nothing of, of what makes them; one of each group stays."""
    parameters = {name for name, _ in model.named_parameters()}
    reading = {name: set(axes) for name, axes in reading_axes(model)}
    made, kept = (np.zeros(sum(coupling.sizes), bool) for _ in range(2))
    for name, axes in coupling.units.items():
        if name not in parameters:
            continue
        for axis, units in enumerate(axes):
            if axis in reading.get(name, ()):
                continue
            here = units >= 0
            made[units[here]] = True
            if name in mask:
                rest = [other for other in range(len(axes)) if other != axis]
                here &= mask[name].cpu().sum(rest).bool().numpy() if rest else mask[name].cpu().numpy()
            kept[units[here]] = True
    removed = made & ~kept
    for group in _slices(coupling):
        if removed[group].all():
            removed[group.start] = False
    return removed


def reading_axes(model: nn.Module) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield (parameter, the axes along which it multiplies what units give); along others it makes units."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for module in model.modules():
        found: list[tuple[Any, int]] = []
        if isinstance(module, _ConvNd) and module.groups == 1:
            found = [(module._parameters.get("weight"), 0 if isinstance(module, _ConvTransposeNd) else 1)]
        elif isinstance(module, nn.Linear):
            found = [(module._parameters.get("weight"), 1)]
        elif isinstance(module, nn.MultiheadAttention):
            found = [(module._parameters.get(f"{one}proj_weight"), 1) for one in ("in_", "q_", "k_", "v_")]
        elif isinstance(module, (nn.RNNBase, nn.RNNCellBase)):
            found = [(one, 1) for name, one in module._parameters.items() if name.startswith("weight_")]
        yield from ((names[id(one)], (axis,)) for one, axis in found if one is not None)


def _leave_mixed(model: nn.Module, coupling: Coupling, removed: Units) -> dict[str, str]:
    """Leave in units that a normalisation takes its statistics over, in place; return {layer: why}."""
    found = {}
    for path, module in model.named_modules():
        units = coupling.units.get(f"{path}.weight") if isinstance(module, MIXING) else None
        mixed = np.concatenate([along[along >= 0] for along in units or [np.zeros(0, np.int64)]])
        if removed[mixed].any():
            found[path] = f"this {type(module).__name__} takes its statistics over units, and zeros count in them"
            removed[mixed] = False
    return found


def _agreeing(groups: list[int], agrees: Any) -> list[int]:
    """Return groups that may all be left away, found by halves."""
    if not groups or agrees(groups):
        return groups
    if len(groups) == 1:
        return []
    half = len(groups) // 2
    first, second = (_agreeing(some, agrees) for some in (groups[:half], groups[half:]))
    if not first or not second or agrees(first + second):
        return first + second
    return max(first, second, key=len)


def _of(coupling: Coupling, removed: Units, groups: list[int]) -> Units:
    found = np.zeros_like(removed)
    slices = _slices(coupling)
    for group in groups:
        found[slices[group]] = removed[slices[group]]
    return found


def _groups(coupling: Coupling, removed: Units) -> list[int]:
    return [number for number, group in enumerate(_slices(coupling)) if removed[group].any()]


def _slices(coupling: Coupling) -> list[slice]:
    ends = np.cumsum(coupling.sizes).tolist()
    return [slice(end - size, end) for end, size in zip(ends, coupling.sizes, strict=True)]


def _layer_of(coupling: Coupling, group: int) -> str:
    """Return the first layer that has units of a group."""
    within = _slices(coupling)[group]
    for name, axes in coupling.units.items():
        if any(((units >= within.start) & (units < within.stop)).any() for units in axes):
            return name.rpartition(".")[0]
    raise AssertionError("a group has places")

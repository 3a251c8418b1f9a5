"""Masks of units: one bool a unit, and the mask of weights in which all that belongs to a removed unit is zero.

A unit takes with it the weights that make it, its biases, scales and biases of normalisations, and what the next layers
read of it: no activation function and no shift lets anything of it through, and what is left counts the weights of the
smaller network.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import inf

import torch
from torch import Tensor

from lth_ray.config import ConfigError
from lth_ray.data.order import uniform
from lth_ray.models import UnitLayer, of_kind
from lth_ray.pruning.controls import random_mask, shuffled_mask
from lth_ray.pruning.globs import select
from lth_ray.pruning.masks import Mask


def chosen_layers(
    layers: Sequence[UnitLayer], structure: str, include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> tuple[UnitLayer, ...]:
    """Return the layers that a rule prunes: those of its structure and those whose weights `include` matches, less
    those of which `exclude` matches a weight that makes their units.
    """
    makers = {one.name: None for layer in layers for one in layer.weights}
    there = {one.name for layer in of_kind(tuple(layers), structure) for one in layer.weights}
    names = set(select([name for name in makers if name in there], include, exclude, list(makers)))
    found = tuple(layer for layer in layers if all(one.name in names for one in layer.weights))
    if not found:
        raise ConfigError(f"Prune.exclude = {list(exclude)}: it leaves no layer of {structure}; exclude fewer")
    return found


def of_units(mask: Mapping[str, Tensor], layers: Iterable[UnitLayer]) -> Mask:
    """Return {layer: bool [units]}: a unit is there as long as the mask keeps anything of it."""
    return {
        layer.name: torch.stack([one.of(mask[one.name]).any(1) for one in layer.slices if one.name in mask]).any(0)
        for layer in layers
    }


def with_units(kept: Mapping[str, Tensor], layers: Iterable[UnitLayer], parameters: Mapping[str, Tensor]) -> Mask:
    """Return the mask of weights without the units that `kept` prunes: bool, of the parameters that have units.

    parameters: all of the network, whose order the mask has.
    """
    found: Mask = {}
    for layer in layers:
        pruned = ~kept[layer.name].cpu()
        for one in layer.slices:
            mask = found.setdefault(one.name, torch.ones(parameters[one.name].shape, dtype=torch.bool))
            one.fill(mask, pruned, False)
    return {name: found[name].to(parameters[name].device) for name in parameters if name in found}


def without_dead_units(
    mask: Mapping[str, Tensor], layers: Iterable[UnitLayer], parameters: Mapping[str, Tensor]
) -> Mask:
    """Return a mask without all that belongs to units that nothing is left of which makes them.

    These are the units of which the mask prunes every weight, and whatever of their biases and normalisations it covers
    (bn_scale prunes no inputs of the next layer). What it does not cover but such a unit has is in the mask then.
    """
    found = dict(mask)
    for layer in layers:
        makers = [one for one in (*layer.weights, *layer.own) if one.name in mask]
        if any(one.name not in mask for one in layer.weights):
            continue
        dead = ~torch.stack([one.of(mask[one.name]).any(1) for one in makers]).any(0)
        if dead.any():
            for one in layer.slices:
                keeps = found.get(one.name, torch.ones(parameters[one.name].shape, dtype=torch.bool)).clone()
                one.fill(keeps, dead, False)
                found[one.name] = keeps
    return {name: found[name] for name in parameters if name in found}


def guarded(scores: Mapping[str, Tensor], kept: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return scores in which the best unit that is left of each layer is above all: no layer loses its last unit."""
    found = {}
    for name, score in scores.items():
        there = kept[name].to(score.device)
        best = score.masked_fill(~there, -inf).argmax() if there.any() else None
        found[name] = score.clone()
        if best is not None and not score.isnan().any():
            found[name][best] = inf
    return found


def check_units_are_left(there: Mapping[str, Sequence[int]], counts: Mapping[str, int]) -> None:
    """Raise ConfigError where so many units cannot go without a layer losing its last one.

    there: of each ranking by itself the units that its layers have left. counts: those that are to go of it.
    """
    for name, count in counts.items():
        left = [number for number in there[name] if number]
        if count > sum(left) - len(left):
            which = f" of {name!r}" if name else ""
            raise ConfigError(
                f"Prune: {count:,} of the {sum(left):,} units{which} would go, and {len(left)} "
                f"layer{'s keep' if len(left) > 1 else ' keeps'} one each; prune fewer, or give "
                "Prune(may_empty_layers=True)"
            )


def shuffled_units(kept: Mapping[str, Tensor], seed: int, scope: str, may_empty: bool = False) -> Mask:
    """Return units in a uniformly random order: as many in each layer ("random", "layer"), or in all ("global").

    In the order over all layers one of each stays, unless layers may lose all of theirs.
    """
    if scope != "global":
        return random_mask(kept, seed)
    if may_empty:
        return shuffled_mask(kept, seed, "global")
    left, stays = {}, {}
    for name, units in kept.items():  # one of each stays, the others are permuted
        stays[name] = int(uniform(seed, f"stays/{name}", 1)[0] * len(units))
        first = int(units.nonzero()[0]) if units.any() else 0
        left[name] = torch.cat([units[:first], units[first + 1 :]])
    found = shuffled_mask(left, seed, "global")
    return {
        name: torch.cat([found[name][:at], kept[name].any().view(1), found[name][at:]]) for name, at in stays.items()
    }

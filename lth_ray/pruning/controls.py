"""Controls of a ticket: random masks, which lose its structure, and shuffles of the values that it keeps."""

from collections.abc import Mapping

import torch

from lth_ray.config import ConfigError, nearest
from lth_ray.data.order import uniform
from lth_ray.pruning.masks import Mask
from lth_ray.pruning.selection import prune_counts

SCOPES = ("global", "layer", "filter")


def shuffled_values(
    values: Mapping[str, torch.Tensor], mask: Mapping[str, torch.Tensor], seed: int, scope: str
) -> dict[str, torch.Tensor]:
    """Return the values at kept places in a uniformly random order among these; pruned places keep theirs.

    values: by parameter, of the mask's shapes. The order of parameters does not matter.
    scope: "global" over all parameters, "layer" within each, "filter" within each output unit (first
        dimension), as of `shuffled_mask`.
    """
    use = f"shuffle_{scope}"
    if scope != "global":
        return {name: _shuffled(values[name], mask[name], seed, f"{use}/{name}", scope) for name in mask}
    names = sorted(mask)
    together = torch.cat([values[name].flatten() for name in names])
    keeps = torch.cat([mask[name].flatten() for name in names])
    shuffled = _shuffled(together, keeps, seed, use, scope)
    parts = torch.split(shuffled, [mask[name].numel() for name in names])
    found = {name: part.view(mask[name].shape) for name, part in zip(names, parts, strict=True)}
    return {name: found[name] for name in mask}


def _shuffled(values: torch.Tensor, keeps: torch.Tensor, seed: int, use: str, scope: str) -> torch.Tensor:
    kept = values.masked_select(keeps)
    places = uniform(seed, use, len(kept)).to(values.device)
    if scope == "filter" and keeps.dim():
        # Whole numbers apart, so that one sort orders every unit within itself: kept places come unit by unit.
        places += keeps.nonzero()[:, 0]
    return values.masked_scatter(keeps, kept[places.argsort(stable=True)])


def random_mask(mask: Mapping[str, torch.Tensor], seed: int) -> Mask:
    """Return a mask with as many weights in each parameter as `mask` keeps, at uniformly random places."""
    return shuffled_mask(mask, seed, "layer")


def shuffled_mask(mask: Mapping[str, torch.Tensor], seed: int, scope: str = "global") -> Mask:
    """Return the mask's entries in a uniformly random order, so that the number kept stays.

    scope: "global" over all parameters, which evens out layer densities (Morcos et al. 2019);
        "layer" within each parameter, which keeps them; "filter" within each output unit (first dimension),
        which keeps the number of its inputs (Frankle, Schwab & Morcos 2020).
    """
    if scope not in SCOPES:
        raise ConfigError(f"ShuffledMask.scope = {scope!r}: {nearest(scope, SCOPES)}")
    places = {n: uniform(seed, f"{scope}/{n}", keeps.numel()).view(keeps.shape) for n, keeps in mask.items()}
    if scope == "filter":
        return {name: _shuffled_rows(keeps, places[name]) for name, keeps in mask.items()}
    full = {name: torch.ones_like(keeps) for name, keeps in mask.items()}
    pruned = {name: int((~keeps).count_nonzero()) for name, keeps in mask.items()}
    return prune_counts(places, full, sum(pruned.values()) if scope == "global" else pruned, scope)


def _shuffled_rows(keeps: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Return each row's bits in the order of its places.

    keeps: bool [filters, ...].
    places: of that shape.
    """
    order = places.reshape(len(places), -1).argsort(dim=1, stable=True)
    return keeps.reshape(order.shape).gather(1, order.to(keeps.device)).view(keeps.shape)

"""Shuffles of kept values: controls that keep a ticket's mask and its distribution of weights."""

from collections.abc import Mapping

import torch

from lth_ray.pruning.draws import uniform

SCOPES = ("global", "layer", "filter")


def shuffled_values(
    values: Mapping[str, torch.Tensor], mask: Mapping[str, torch.Tensor], seed: int, scope: str
) -> dict[str, torch.Tensor]:
    """The values at kept places, in a uniformly random order among these; pruned places keep theirs.

    values: by parameter, of the mask's shapes. scope: "global" over all parameters, "layer" within each, "filter"
    within each output unit (first dimension), as of `shuffled_mask`. The order of parameters does not matter.
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

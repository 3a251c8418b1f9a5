"""How many weights are pruned: exactly round(fraction x remaining), by Python's round (half to even)."""

from collections.abc import Mapping
from math import isfinite

import torch

from lth_ray.config import ConfigError
from lth_ray.pruning.globs import fraction_of_each
from lth_ray.pruning.masks import kept

Fraction = float | Mapping[str, float]
Counts = int | dict[str, int]


def prune_count(fraction: float, remaining: int) -> int:
    """Weights to prune out of `remaining`: round(fraction x remaining). ConfigError for a fraction outside [0, 1]."""
    if not (isfinite(fraction) and 0 <= fraction <= 1):
        raise ConfigError(f"Prune.fraction = {fraction!r}: give a share of the remaining weights, in [0, 1]")
    return round(fraction * remaining)


def one_shot_counts(mask: Mapping[str, torch.Tensor], fraction: Fraction, scope: str, rounds: int) -> Counts:
    """Weights that `rounds` rounds of iterative pruning prune altogether, rounding in each as those do.

    mask: before the first of these rounds. Returns an int in global scope, {parameter: int} in layer scope.
    Errors: ConfigError for a fraction or scope that does not fit.
    """
    if scope == "global":
        if isinstance(fraction, Mapping):
            raise ConfigError(f"Prune.fraction = {dict(fraction)!r}: a share per parameter needs scope='layer'")
        return _iterated(fraction, kept(mask), rounds)
    if scope != "layer":
        raise ConfigError(f"Prune.scope = {scope!r}: give 'global' or 'layer'")
    each = fraction_of_each(fraction if isinstance(fraction, Mapping) else {"*": fraction}, mask)
    return {name: _iterated(each[name], kept({name: keeps}), rounds) for name, keeps in mask.items()}


def _iterated(fraction: float, remaining: int, rounds: int) -> int:
    left = remaining
    for _ in range(rounds):
        left -= prune_count(fraction, left)
    return remaining - left

"""The number of weights that a round prunes, and the steps of scoring that it does so in."""

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import torch

from lth_ray.config import ConfigError
from lth_ray.config.architectures import kept_of, shares_of
from lth_ray.pruning.densities import kept_counts
from lth_ray.pruning.globs import some_of_each
from lth_ray.pruning.masks import Mask
from lth_ray.pruning.selection import Counts, Scores, one_shot_counts, prune_counts


def counts_of(rule: Mapping[str, Any], mask: Mapping[str, torch.Tensor], rounds: int, density: float | None) -> Counts:
    """Count what a pruning rule (the fields of Prune) prunes of a mask's weights, as `prune_counts` takes it.

    rounds: that prune a fraction each; density: what is left of all weights that the mask covers, instead.
    Errors: ConfigError where a layer would be left with less than one weight, and for a mask that keeps too few.
    """
    if rule.get("keep") is not None:
        return _fewer_than_kept(rule["keep"], mask)
    if density is None:
        return one_shot_counts(mask, rule["fraction"], rule["scope"], rounds)
    left = _left(rule, mask, density)
    if isinstance(left, int):
        return _fewer(left, sum(_kept(mask).values()), density, "all layers")
    there = _kept(mask)
    return {name: _fewer(left[name], there[name], density, name) for name in mask}


def _fewer_than_kept(keep: str | Mapping[str, float | int], mask: Mapping[str, torch.Tensor]) -> dict[str, int]:
    """Count what each layer loses where the rule says what it keeps."""
    shares, there, counts = some_of_each(shares_of(keep), mask, "Prune.keep"), _kept(mask), {}
    for name, keeps in mask.items():
        left = kept_of(shares[name], keeps.numel()) if name in shares else there[name]
        if left > there[name]:
            raise ConfigError(
                f"Prune.keep: {left:,} are to be kept in {name!r}, and there are {there[name]:,}; give that or fewer"
            )
        counts[name] = there[name] - left
    return counts


def _left(rule: Mapping[str, Any], mask: Mapping[str, torch.Tensor], density: float) -> Counts:
    sizes = {name: keeps.numel() for name, keeps in mask.items()}
    if rule["scope"] == "layer":
        shapes = {name: tuple(keeps.shape) for name, keeps in mask.items()}
        if rule.get("densities") is not None:
            return kept_counts(rule["densities"], shapes, density)
        left = {name: round(density * size) for name, size in sizes.items()}
        empty = [f"{name!r} of {sizes[name]:,}" for name, number in left.items() if number < 1]
        if empty:
            raise ConfigError(
                f"Prune.remaining: density {density:.3g} would leave less than one weight of {', '.join(empty)}; give "
                "a higher one, or scope='global'"
            )
        return left
    number, total = round(density * sum(sizes.values())), sum(sizes.values())
    if number < len(sizes):
        raise ConfigError(
            f"Prune.remaining: density {density:.3g} would leave {number} of {total:,} weights for {len(sizes)} "
            f"layers, less than one each; give {len(sizes) / total:.3g} or more"
        )
    return number


def _fewer(left: int, there: int, density: float, where: str) -> int:
    if left > there:
        raise ConfigError(
            f"Prune.remaining: density {density:.3g} asks for {left:,} weights of {where}, and the ticket that is "
            f"pruned has {there:,}; give a lower one"
        )
    return there - left


def _kept(mask: Mapping[str, torch.Tensor]) -> dict[str, int]:
    return {name: int(keeps.count_nonzero()) for name, keeps in mask.items()}


def prune_in_steps(
    scores: Callable[[Mask], Scores],
    mask: Mapping[str, torch.Tensor],
    counts: Counts,
    scope: str = "global",
    iterations: int = 1,
    tie_seed: int | None = None,
) -> Mask:
    """Return `mask` without as many weights as `counts` says, in steps of scoring.

    In each the lowest scores under the mask of the step before go.
    scores: of the weights under a mask. Of a round that keeps the share 1/c, step k keeps c^(-k/iterations).
    """
    left: Mask = dict(mask)
    for number in _spread(counts, mask, iterations):
        left = prune_counts(scores(left), left, number, scope, tie_seed)
    return left


def inverted(scores: Scores) -> dict[str, torch.Tensor]:
    """Return scores by which those that were the highest are pruned first."""
    return {name: -score for name, score in scores.items()}


def _spread(counts: Counts, mask: Mapping[str, torch.Tensor], iterations: int) -> Iterator[Counts]:
    """Yield what each step prunes; all of them together prune `counts`."""
    there = _kept(mask)
    if isinstance(counts, int):
        yield from _in_steps(sum(there.values()), counts, iterations)
        return
    each = [_in_steps(there[name], number, iterations) for name, number in counts.items()]
    for numbers in zip(*each, strict=True):
        yield dict(zip(counts, numbers, strict=True))


def _in_steps(there: int, count: int, iterations: int) -> list[int]:
    share = (there - count) / there if there else 1.0
    left = [there, *(round(there * share ** (k / iterations)) for k in range(1, iterations)), there - count]
    return [before - after for before, after in pairwise(left)]

"""Selection: the number of weights that are pruned, the choice of them, and the smaller mask that is left.

The number is exactly round(fraction x remaining), by Python's round (half to even).
"""

from collections.abc import Mapping
from math import isfinite

import torch

from lth_ray.config import ConfigError
from lth_ray.data.order import uniform
from lth_ray.pruning.globs import fraction_of_each
from lth_ray.pruning.masks import Mask, kept

Fraction = float | Mapping[str, float]
Counts = int | dict[str, int]


def prune_count(fraction: float, remaining: int) -> int:
    """Return the number to prune out of `remaining` weights: round(fraction x remaining).

    Raises ConfigError for a fraction outside [0, 1].
    """
    if not (isfinite(fraction) and 0 <= fraction <= 1):
        raise ConfigError(f"Prune.fraction = {fraction!r}: give a share of the remaining weights, in [0, 1]")
    return round(fraction * remaining)


def one_shot_counts(mask: Mapping[str, torch.Tensor], fraction: Fraction, scope: str, rounds: int) -> Counts:
    """Return the number of weights that `rounds` rounds of iterative pruning prune altogether, rounding in
    each as those do.

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


def lowest(values: torch.Tensor, count: int, tie_seed: int | None = None, use: str = "") -> torch.Tensor:
    """Mark exactly the `count` lowest of `values` [n]: bool [n], on the CPU.

    values: without NaN, on any device; -0.0 and 0.0 are equal. Of equal values at the threshold the lowest
    indices are marked or, with a tie_seed, random ones (`use` tells apart selections with one seed).
    Linear in n: a threshold by quickselect, no sort.
    """
    values = values.detach().flatten().cpu()  # kthvalue on CUDA refuses torch's deterministic mode
    if count <= 0:
        return torch.zeros(values.shape, dtype=torch.bool)
    threshold = values.kthvalue(count).values
    marked = values < threshold
    tied = (values == threshold).nonzero().flatten()
    missing = count - int(marked.count_nonzero())
    if tie_seed is not None and missing < len(tied):
        tied = tied[lowest(uniform(tie_seed, f"tie/{use}", len(tied)), missing)]
    marked[tied[:missing]] = True
    return marked


Scores = Mapping[str, torch.Tensor]


class ScoreError(ValueError):
    """A score that is NaN: there is no order to prune by."""


def prune(
    scores: Scores,
    mask: Mapping[str, torch.Tensor],
    fraction: Fraction,
    scope: str = "global",
    tie_seed: int | None = None,
) -> Mask:
    """Return a new mask without the lowest scores: exactly round(fraction x remaining) weights fewer.

    scores: by parameter, of the mask's shapes; higher ones are kept. NaN is refused everywhere.
    fraction: share of the remaining weights, in [0, 1]; {glob: share}, in layer scope, matches each once.
    scope: "global" ranks all parameters together, "layer" each one apart, with its own count.
    tie_seed: None prunes equal scores from the lowest flat index on (in global scope, over the parameters in
        the mask's order); a seed prunes random ones of them.
    Pruned weights stay pruned. Errors: ScoreError; ConfigError for a fraction, scope or scores that do not fit.
    """
    return prune_counts(scores, mask, one_shot_counts(mask, fraction, scope, rounds=1), scope, tie_seed)


def prune_counts(
    scores: Scores,
    mask: Mapping[str, torch.Tensor],
    counts: Counts,
    scope: str = "global",
    tie_seed: int | None = None,
) -> Mask:
    """Prune as `prune` does, by exact numbers of weights: an int in global scope, {parameter: int} in layer
    scope.
    """
    _check_scores(scores, mask)
    if isinstance(counts, int):
        if scope != "global":
            raise ConfigError(f"counts = {counts}: scope={scope!r} needs a count for each parameter")
        return _prune_together(scores, mask, counts, tie_seed, use="")
    if scope != "layer" or counts.keys() != mask.keys():
        raise ConfigError(f"counts of {', '.join(counts)}: scope='layer' needs those of {', '.join(mask)}")
    pruned: Mask = {}
    for name, keeps in mask.items():
        pruned |= _prune_together(scores, {name: keeps}, counts[name], tie_seed, use=name)
    return pruned


def _prune_together(
    scores: Scores, mask: Mapping[str, torch.Tensor], count: int, tie_seed: int | None, use: str
) -> Mask:
    remaining = [int(keeps.count_nonzero()) for keeps in mask.values()]
    if not 0 <= count <= sum(remaining):
        raise ConfigError(f"{count} weights cannot be pruned of the {sum(remaining)} in {', '.join(mask)}; give fewer")
    if count == 0:
        return {name: keeps.clone() for name, keeps in mask.items()}
    ranked = [scores[name].detach().cpu().masked_select(keeps.cpu()) for name, keeps in mask.items()]
    stays = ~lowest(torch.cat(ranked), count, tie_seed, use)
    return {
        name: keeps.cpu().masked_scatter(keeps.cpu(), part).to(keeps.device)
        for (name, keeps), part in zip(mask.items(), torch.split(stays, remaining), strict=True)
    }


def _check_scores(scores: Scores, mask: Mapping[str, torch.Tensor]) -> None:
    for name, keeps in mask.items():
        if name not in scores or scores[name].shape != keeps.shape:
            found = f"shape {tuple(scores[name].shape)}" if name in scores else "none"
            raise ConfigError(f"scores of {name!r}: the mask needs shape {tuple(keeps.shape)}, found {found}")
        if scores[name].isnan().any():
            raise ScoreError(f"scores of {name!r} hold NaN: the training they come from has diverged")

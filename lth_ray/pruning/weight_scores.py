"""Criteria by the weights alone: their start, their end, and random pruning as the control of all.

Magnitudes are those of one end of training (Han et al. 2015); those by both ends, wi and w, are of Zhou et al. 2019,
section 2. The ones that ask for both ends at once keep the weights of which initial and final magnitude both lie above
one common percentile of their layer, chosen so that as many are kept as should be. Scored by the lower of the two
percentiles, pruning the lowest scores keeps just these: lowering the common percentile lets in weights in the order of
that score.
"""

from collections.abc import Callable

import torch

from lth_ray.data.order import uniform
from lth_ray.pruning.evidence import Evidence


def magnitude(evidence: Evidence) -> dict[str, torch.Tensor]:
    """Score by |w|, which Zhou et al. call large final (Frankle & Carbin 2019, section 1)."""
    return {name: weight.abs() for name, weight in evidence.weights().items()}


def small_final(evidence: Evidence) -> dict[str, torch.Tensor]:
    """Score by -|w|."""
    return {name: -score for name, score in magnitude(evidence).items()}


def large_init(evidence: Evidence) -> dict[str, torch.Tensor]:
    """Score by |wi|, wi the initial weights."""
    return {name: weight.abs() for name, weight in evidence.initial_weights().items()}


def small_init(evidence: Evidence) -> dict[str, torch.Tensor]:
    """Score by -|wi|."""
    return {name: -score for name, score in large_init(evidence).items()}


Scores = dict[str, torch.Tensor]


def magnitude_increase(evidence: Evidence) -> Scores:
    """Score by |w| - |wi|."""
    final = evidence.weights()
    return {name: final[name].abs() - weight.abs() for name, weight in evidence.initial_weights().items()}


def movement(evidence: Evidence) -> Scores:
    """Score by |w - wi|."""
    final = evidence.weights()
    return {name: (final[name] - weight).abs() for name, weight in evidence.initial_weights().items()}


def same_sign(scores: Callable[[Evidence], Scores], excluded: float) -> Callable[[Evidence], Scores]:
    """Return a criterion's scores where sign(w) = sign(wi), `excluded` where the sign flipped; 0 has a sign
    of its own.
    """
    return lambda evidence: _where_flipped(evidence, scores(evidence), False, excluded)


def diff_sign(scores: Callable[[Evidence], Scores], excluded: float) -> Callable[[Evidence], Scores]:
    """Return a criterion's scores where the sign flipped, `excluded` where sign(w) = sign(wi)."""
    return lambda evidence: _where_flipped(evidence, scores(evidence), True, excluded)


def _where_flipped(evidence: Evidence, scores: Scores, flipped: bool, excluded: float) -> Scores:
    initial, final = evidence.initial_weights(), evidence.weights()
    out = {name: (final[name].sign() != initial[name].sign()) != flipped for name in scores}
    # NaN has no sign, and has to stay for `prune` to refuse it.
    return {name: score.masked_fill(out[name] & ~score.isnan(), excluded) for name, score in scores.items()}


def large_init_large_final(evidence: Evidence) -> dict[str, torch.Tensor]:
    """Score by the lower of the percentiles of |wi| and |w| in their layer."""
    return _lower(evidence, large_init(evidence), magnitude(evidence))


def small_init_small_final(evidence: Evidence) -> dict[str, torch.Tensor]:
    """Score by the lower of the percentiles of -|wi| and -|w| in their layer."""
    return _lower(evidence, small_init(evidence), small_final(evidence))


def percentile(values: torch.Tensor, among: torch.Tensor) -> torch.Tensor:
    """Return the share of `among` that is no larger than each of `values`: float64 of their shape, in [0, 1];
    NaN stays NaN.

    Equal values share their highest percentile.
    """
    ranks = torch.searchsorted(among.flatten().sort().values, values.contiguous(), right=True)
    return (ranks.double() / max(1, among.numel())).masked_fill(values.isnan(), torch.nan)


def _lower(evidence: Evidence, one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the lower of two percentiles among the remaining weights of each layer.

    Two weights may share a score (one by its initial, one by its final magnitude): which of them goes first
    is up to the tie rule of `prune`.
    """
    lower = {}
    for name, keeps in evidence.mask.items():
        ends = (values[name] for values in (one, other))
        lower[name] = torch.minimum(*(percentile(v, v.masked_select(keeps.to(v.device))) for v in ends))
    return lower


def random(evidence: Evidence) -> dict[str, torch.Tensor]:
    """Return uniform scores in [0, 1), float64; those of a parameter depend on (seed, its name) alone."""
    return {
        name: uniform(evidence.seed, f"score/{name}", weight.numel()).view(weight.shape).to(weight.device)
        for name, weight in evidence.weights().items()
    }

"""Criteria by what training did to a weight: both ends of it, wi and w (Zhou et al. 2019, section 2)."""

from collections.abc import Callable

import torch

from lth_ray.pruning.evidence import Evidence

Scores = dict[str, torch.Tensor]


def magnitude_increase(evidence: Evidence) -> Scores:
    """|w| - |wi|"""
    final = evidence.weights()
    return {name: final[name].abs() - weight.abs() for name, weight in evidence.initial_weights().items()}


def movement(evidence: Evidence) -> Scores:
    """|w - wi|"""
    final = evidence.weights()
    return {name: (final[name] - weight).abs() for name, weight in evidence.initial_weights().items()}


def same_sign(scores: Callable[[Evidence], Scores], excluded: float) -> Callable[[Evidence], Scores]:
    """A criterion's scores where sign(w) = sign(wi), `excluded` where the sign flipped; 0 has a sign of its own."""
    return lambda evidence: _where_flipped(evidence, scores(evidence), False, excluded)


def diff_sign(scores: Callable[[Evidence], Scores], excluded: float) -> Callable[[Evidence], Scores]:
    """A criterion's scores where the sign flipped, `excluded` where sign(w) = sign(wi)."""
    return lambda evidence: _where_flipped(evidence, scores(evidence), True, excluded)


def _where_flipped(evidence: Evidence, scores: Scores, flipped: bool, excluded: float) -> Scores:
    initial, final = evidence.initial_weights(), evidence.weights()
    out = {name: (final[name].sign() != initial[name].sign()) != flipped for name in scores}
    # NaN has no sign, and has to stay for `prune` to refuse it.
    return {name: score.masked_fill(out[name] & ~score.isnan(), excluded) for name, score in scores.items()}

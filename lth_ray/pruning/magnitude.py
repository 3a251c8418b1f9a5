"""Criteria by the magnitude of one end of training (Han et al. 2015; Zhou et al. 2019, section 2)."""

import torch

from lth_ray.pruning.evidence import Evidence


def magnitude(evidence: Evidence) -> dict[str, torch.Tensor]:
    """|w|, which Zhou et al. call large final (Frankle & Carbin 2019, section 1)."""
    return {name: weight.abs() for name, weight in evidence.weights().items()}


def small_final(evidence: Evidence) -> dict[str, torch.Tensor]:
    """-|w|"""
    return {name: -score for name, score in magnitude(evidence).items()}


def large_init(evidence: Evidence) -> dict[str, torch.Tensor]:
    """|wi|, wi the initial weights"""
    return {name: weight.abs() for name, weight in evidence.initial_weights().items()}


def small_init(evidence: Evidence) -> dict[str, torch.Tensor]:
    """-|wi|"""
    return {name: -score for name, score in large_init(evidence).items()}

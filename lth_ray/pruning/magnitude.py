"""Criteria by magnitude (Han et al. 2015; Frankle & Carbin 2019, section 1)."""

import torch

from lth_ray.pruning.evidence import Evidence


def magnitude(evidence: Evidence) -> dict[str, torch.Tensor]:
    """|w|"""
    return {name: weight.abs() for name, weight in evidence.weights().items()}

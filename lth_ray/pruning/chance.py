"""Random pruning, the control of every criterion."""

import torch

from lth_ray.pruning.draws import uniform
from lth_ray.pruning.evidence import Evidence


def random(evidence: Evidence) -> dict[str, torch.Tensor]:
    """Uniform scores in [0, 1), float64; those of a parameter depend on (seed, its name) alone."""
    return {
        name: uniform(evidence.seed, f"score/{name}", weight.numel()).view(weight.shape).to(weight.device)
        for name, weight in evidence.weights().items()
    }

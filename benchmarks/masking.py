"""The random masks under which the benchmarks train."""

from torch import nn

from lth_ray import pruning
from lth_ray.pruning import Mask


def masked(model: nn.Module, kept: float, seed: int = 0) -> Mask:
    """Return a random mask that keeps this share of the prunable weights; put the others at zero."""
    dense = pruning.dense_mask(model)
    mask = pruning.prune(pruning.score("random", model, dense, seed=seed), dense, 1 - kept)
    pruning.apply_mask(model, mask)
    return mask

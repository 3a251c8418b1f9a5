"""Criteria that ask for both ends of training at once (Zhou et al. 2019, section 2, "large init, large final").

They keep the weights of which initial and final magnitude both lie above one common percentile of their layer,
chosen so that as many are kept as should be. Scored by the lower of the two percentiles, pruning the lowest scores
keeps just these: lowering the common percentile lets in weights in the order of that score.
"""

import torch

from lth_ray.pruning.evidence import Evidence
from lth_ray.pruning.magnitude import large_init, magnitude, small_final, small_init


def large_init_large_final(evidence: Evidence) -> dict[str, torch.Tensor]:
    """The lower of the percentiles of |wi| and |w| in their layer."""
    return _lower(evidence, large_init(evidence), magnitude(evidence))


def small_init_small_final(evidence: Evidence) -> dict[str, torch.Tensor]:
    """The lower of the percentiles of -|wi| and -|w| in their layer."""
    return _lower(evidence, small_init(evidence), small_final(evidence))


def percentile(values: torch.Tensor, among: torch.Tensor) -> torch.Tensor:
    """Share of `among` that is no larger than each of `values`: float64 of their shape, in [0, 1]; NaN stays NaN.

    Equal values share their highest percentile.
    """
    ranks = torch.searchsorted(among.flatten().sort().values, values.contiguous(), right=True)
    return (ranks.double() / max(1, among.numel())).masked_fill(values.isnan(), torch.nan)


def _lower(evidence: Evidence, one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Among the remaining weights of each layer. Two weights may share a score (one by its initial, one by its final
    magnitude): which of them goes first is up to the tie rule of `prune`."""
    lower = {}
    for name, keeps in evidence.mask.items():
        ends = (values[name] for values in (one, other))
        lower[name] = torch.minimum(*(percentile(v, v.masked_select(keeps.to(v.device))) for v in ends))
    return lower

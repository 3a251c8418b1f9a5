"""Branches: the questions asked of a finished ticket.

Adding one is a class in lth_ray.config.branches, a function (host, branch, seed) -> results in a file here, and its
entry below.
"""

from lth_ray.config import (
    Barrier,
    Branch,
    Connectivity,
    CrossedMask,
    Curvature,
    Cyclic,
    Guided,
    MaskOverlap,
    PermutedMask,
    Perturb,
    Pretrain,
    RandomMask,
    RandomReinit,
    Rescored,
    Scratch,
    ShuffledMask,
    SignFlips,
    Stability,
    Supermask,
    Transfer,
    Weights,
)
from lth_ray.lottery.branches.anatomy import curvature, mask_overlap, sign_flips, weights
from lth_ray.lottery.branches.architectures import guided, scratch
from lth_ray.lottery.branches.base import Asked, Function, Host, copies
from lth_ray.lottery.branches.between import connectivity
from lth_ray.lottery.branches.connectivity import barrier, stability
from lth_ray.lottery.branches.controls import cyclic, random_mask, random_reinit, rescored, shuffled_mask
from lth_ray.lottery.branches.crossed import crossed_mask
from lth_ray.lottery.branches.learning import supermask
from lth_ray.lottery.branches.permuting import permuted_mask
from lth_ray.lottery.branches.perturbing import perturb, pretrain
from lth_ray.lottery.branches.transfer import transfer

# config class: (name in records, its function)
BRANCHES: dict[type[Branch], tuple[str, Function]] = {
    RandomReinit: ("random_reinit", copies(random_reinit)),
    RandomMask: ("random_mask", copies(random_mask)),
    ShuffledMask: ("shuffled_mask", copies(shuffled_mask)),
    PermutedMask: ("permuted_mask", permuted_mask),
    Cyclic: ("cyclic", cyclic),
    CrossedMask: ("crossed_mask", crossed_mask),
    Guided: ("guided", copies(guided)),
    Scratch: ("scratch", copies(scratch)),
    Rescored: ("rescored", copies(rescored)),
    Barrier: ("barrier", barrier),
    Stability: ("stability", stability),
    Connectivity: ("connectivity", connectivity),
    Curvature: ("curvature", curvature),
    Perturb: ("perturb", copies(perturb)),
    Pretrain: ("pretrain", pretrain),
    Transfer: ("transfer", copies(transfer)),
    Supermask: ("supermask", copies(supermask)),
    Weights: ("weights", weights),
    SignFlips: ("sign_flips", sign_flips),
    MaskOverlap: ("mask_overlap", mask_overlap),
}


def controls() -> frozenset[str]:
    """Return the names of the branches that tickets are compared with."""
    return frozenset(name for kind, (name, _) in BRANCHES.items() if kind.is_control)


__all__ = ["BRANCHES", "Asked", "Function", "Host", "controls", "copies"]

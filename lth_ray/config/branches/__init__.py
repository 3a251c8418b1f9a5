"""Branches: experiments hung on a finished ticket, a question a class."""

from lth_ray.config.branches.anatomy import MaskOverlap, SignFlips, Weights
from lth_ray.config.branches.base import Branch
from lth_ray.config.branches.connectivity import Barrier, Connectivity, Stability
from lth_ray.config.branches.controls import Cyclic, PermutedMask, RandomMask, RandomReinit, Rescored, ShuffledMask
from lth_ray.config.branches.crossed import CrossedMask
from lth_ray.config.branches.curvature import Curvature
from lth_ray.config.branches.scratch import Guided, Scratch
from lth_ray.config.branches.starts import Perturb, Pretrain
from lth_ray.config.branches.supermask import Supermask
from lth_ray.config.branches.transfer import Transfer

__all__ = [
    "Barrier",
    "Branch",
    "Connectivity",
    "CrossedMask",
    "Curvature",
    "Cyclic",
    "Guided",
    "MaskOverlap",
    "PermutedMask",
    "Perturb",
    "Pretrain",
    "RandomMask",
    "RandomReinit",
    "Rescored",
    "Scratch",
    "ShuffledMask",
    "SignFlips",
    "Stability",
    "Supermask",
    "Transfer",
    "Weights",
]

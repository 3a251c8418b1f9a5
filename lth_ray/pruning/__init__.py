"""Masks: scores, the number to prune and the weights it falls on, random controls; and perturbed weights
under masks.
"""

from lth_ray.pruning.agreement import agrees, distances, first_agreement, packed
from lth_ray.pruning.channels import BN_SCALE, of_channels, with_members
from lth_ray.pruning.collapse import collapse, is_connected
from lth_ray.pruning.controls import random_mask, shuffled_mask
from lth_ray.pruning.criteria import CRITERIA, criterion_of, needs, score, uses
from lth_ray.pruning.densities import kept_counts, layer_densities_of
from lth_ray.pruning.globs import fraction_of_each, select
from lth_ray.pruning.masks import Mask, apply_mask, dense_mask, density, density_of_all, kept, layer_densities
from lth_ray.pruning.perturb import needs_of, perturb
from lth_ray.pruning.regrowth import Moved, Regrowth, drop_and_grow
from lth_ray.pruning.sample import check_sample, sample
from lth_ray.pruning.selection import ScoreError, one_shot_counts, prune, prune_count, prune_counts
from lth_ray.pruning.steps import counts_of, inverted, prune_in_steps

__all__ = [
    "BN_SCALE",
    "CRITERIA",
    "Mask",
    "Moved",
    "Regrowth",
    "ScoreError",
    "agrees",
    "apply_mask",
    "check_sample",
    "collapse",
    "counts_of",
    "criterion_of",
    "dense_mask",
    "density",
    "density_of_all",
    "distances",
    "drop_and_grow",
    "first_agreement",
    "fraction_of_each",
    "inverted",
    "is_connected",
    "kept",
    "kept_counts",
    "layer_densities",
    "layer_densities_of",
    "needs",
    "needs_of",
    "of_channels",
    "one_shot_counts",
    "packed",
    "perturb",
    "prune",
    "prune_count",
    "prune_counts",
    "prune_in_steps",
    "random_mask",
    "sample",
    "score",
    "select",
    "shuffled_mask",
    "uses",
    "with_members",
]

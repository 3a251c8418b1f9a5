"""Anatomy: what a ticket's mask and weights look like."""

from dataclasses import dataclass
from typing import ClassVar

from lth_ray.config.base import option, whole
from lth_ray.config.branches.base import Branch


@dataclass(frozen=True)
class Weights(Branch):
    """The initial weights that survive, and the distances that weights have moved when the mask is found.

    Distances are from initialisation, those of the weights that it keeps and of those that it prunes (Frankle
    & Carbin 2019, appendix F).

    bins: of the histograms.
    """

    bins: int = option(40, check=whole(1, 100_000))


@dataclass(frozen=True)
class SignFlips(Branch):
    """The kept weights whose signs a ticket's training flips (Gadhikar & Burkholz 2024).

    They are counted from what it set out from to its last step, and from initialisation. Of a dense network they are
    those of all weights that may be pruned; of another branch's result those from its own start alone.
    """

    of_dense: ClassVar[bool] = True


@dataclass(frozen=True)
class MaskOverlap(Branch):
    """The ticket's mask against those of the study's other seeds at the same round."""

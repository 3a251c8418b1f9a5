"""Branches: experiments hung on a finished ticket."""

from abc import ABC
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

from lth_ray.config.base import Config, many, maybe, one_of, option, whole


def _branch(value: Any) -> "Branch":
    if not isinstance(value, Branch):
        raise ValueError("give branches, such as RandomReinit()")
    return value


@dataclass(frozen=True)
class Branch(Config, ABC):
    """What is asked of a ticket. A new branch is a subclass here and its function in lth_ray.lottery.branches.

    rounds: the rounds it is hung on (None: every round from 1 on).
    branches: further branches, hung on this one's result.
    """

    _: KW_ONLY
    rounds: Sequence[int] | None = option(
        None, check=maybe(many(whole(0), "give a list of rounds", distinct=True)), means=False
    )
    branches: Sequence["Branch"] = option((), check=many(_branch, "give a list of branches"), means=False)


@dataclass(frozen=True)
class RandomReinit(Branch):
    """The ticket's mask on newly drawn initial weights (Frankle & Carbin 2019, section 2). copies: draws a ticket."""

    copies: int = option(1, check=whole(1), means=False)


@dataclass(frozen=True)
class RandomMask(Branch):
    """The ticket's rewind weights under a random mask with the same number of weights in each layer. copies: draws."""

    copies: int = option(1, check=whole(1), means=False)


@dataclass(frozen=True)
class ShuffledMask(Branch):
    """The ticket's own mask, its entries permuted. copies: draws.

    scope: "global" over all prunable weights (Morcos et al. 2019), so that layer densities even out;
        "layer" within each layer; "filter" within each output unit, whose number of inputs is kept.
    """

    scope: str = option("global", check=one_of("global", "layer", "filter"))
    _: KW_ONLY
    copies: int = option(1, check=whole(1), means=False)

"""Connectivity: how trained copies of a ticket lie to each other."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from lth_ray.config.base import ConfigError, many, maybe, one_of, option, whole
from lth_ray.config.branches.base import Branch
from lth_ray.config.units import Length, a_length


def _aligned(value: Any) -> bool | str:
    if not isinstance(value, bool) and value != "activations":
        raise ValueError("give True, False or 'activations'")
    return value if isinstance(value, bool) else "activations"


@dataclass(frozen=True)
class Barrier(Branch):
    """Linear mode connectivity (Frankle et al. 2020a): the error along the line between two trained copies.

    `children` copies are trained from one state under different order and augmentation, and each two are
    compared.

    children: copies of a ticket, 100 at most; each pair of them is a result.
    points: evenly spaced on the line, both ends included.
    spawn: where the copies part (None: the ticket's rewind point); later points lie in the ticket's own
        training.
    batch_norm: running statistics on the line: "stored" (interpolated as the weights are) or "reestimate"
        (measured anew).
    initialisations: "shared", or "own": every copy is trained from an initialisation of its own, from step 0.
    align: permute the second copy's units to match the first's before, by weights (True; Ainsworth et al. 2022) or
        "activations" on the training set (Li et al. 2016): channels, hidden and recurrent units, and heads of attention
        as wholes. The order of inputs and outputs stays.
    """

    of_dense: ClassVar[bool] = True

    children: int = option(2, check=whole(2, 100), means=False)
    _: KW_ONLY
    points: int = option(30, check=whole(3, 100_000))
    spawn: Length | None = option(None, check=maybe(a_length()))
    batch_norm: str = option("stored", check=one_of("stored", "reestimate"))
    initialisations: str = option("shared", check=one_of("shared", "own"))
    align: bool | str = option(False, check=_aligned)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.initialisations == "own" and self.spawn is not None:
            raise ConfigError(
                f"Barrier.spawn = {self.spawn}: copies of their own initialisations have none; leave it out"
            )


@dataclass(frozen=True)
class Stability(Branch):
    """Distances and angles between trained networks (Frankle et al. 2019, section 4).

    They are those of the ticket from the dense network it was found in (to pruning), and of `children` copies
    of the ticket from each other (to data order).

    children, spawn: the copies and where they part, as for Barrier.
    """

    of_dense: ClassVar[bool] = True

    children: int = option(2, check=whole(2, 100), means=False)
    _: KW_ONLY
    spawn: Length | None = option(None, check=maybe(a_length()))


@dataclass(frozen=True)
class Connectivity(Branch):
    """The line from a trained ticket to another network of the study, which takes no training: the error on it, and
    distances.

    to: "previous" (the ticket of the round before: Paul et al. 2023), "dense" (round 0), "rewind_points" (the ticket of
        this round, rewound to another of the study's points), "seeds" (that of another seed; with one seed there is
        none), or "ticket" (that of this round, where it hangs on a branch's result). Each pair is measured once.
    points, batch_norm: as for Barrier; statistics are measured anew unless it is "stored".
    align: order the other network's units as the ticket's are before: by "weights" (Ainsworth et al. 2022) or by
        "activations" on the training set (Li et al. 2016).
    rewind: of the study's rewind points, those with whose tickets others are compared (None: all).
    """

    of_dense: ClassVar[bool] = True

    to: str = option("previous", check=one_of("previous", "dense", "rewind_points", "seeds", "ticket"))
    _: KW_ONLY
    points: int = option(30, check=whole(3, 100_000))
    batch_norm: str = option("reestimate", check=one_of("stored", "reestimate"))
    align: str | None = option(None, check=maybe(one_of("weights", "activations")))
    rewind: Sequence[Length] | None = option(
        None, check=maybe(many(a_length(), "give a list of rewind points", distinct=True)), means=False
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rewind is not None and self.to != "rewind_points":
            raise ConfigError(f"Connectivity.rewind: to = {self.to!r} looks at no other rewind point; leave it out")

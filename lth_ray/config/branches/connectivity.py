"""Connectivity: how trained copies of a ticket lie to each other."""

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from lth_ray.config.base import FLAG, ConfigError, maybe, one_of, option, whole
from lth_ray.config.branches.base import Branch
from lth_ray.config.units import Length, a_length


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
    align: permute the second copy's units to match the first's before (Ainsworth et al. 2022, weight
        matching): channels, hidden and recurrent units, and heads of attention as wholes. The order of inputs
        and outputs stays.
    """

    of_dense: ClassVar[bool] = True

    children: int = option(2, check=whole(2, 100), means=False)
    _: KW_ONLY
    points: int = option(30, check=whole(3, 100_000))
    spawn: Length | None = option(None, check=maybe(a_length()))
    batch_norm: str = option("stored", check=one_of("stored", "reestimate"))
    initialisations: str = option("shared", check=one_of("shared", "own"))
    align: bool = option(False, check=FLAG)

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

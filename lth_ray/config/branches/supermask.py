"""Masks that are learned over a ticket's untrained weights."""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from lth_ray.config.base import many, mapping, maybe, option, whole
from lth_ray.config.branches.base import Branch
from lth_ray.config.supermask import SupermaskRule


@dataclass(frozen=True)
class Supermask(SupermaskRule, Branch):
    """A mask learned over untrained weights, which stay as they are (Zhou et al. 2019, section 5).

    Hung on a ticket, only weights that its mask keeps take part.

    train: fields of Train for learning the scores, such as {"lr": 100.0}.
    copies: draws for each ticket.
    """

    of_dense: ClassVar[bool] = True

    _: KW_ONLY
    rounds: Sequence[int] | None = option(
        (0,), check=maybe(many(whole(0), "give a list of rounds", distinct=True)), means=False
    )
    train: Mapping[str, Any] = option({}, check=mapping())
    copies: int = option(1, check=whole(1, 10_000), means=False)

    def parameters(self) -> dict[str, Any]:
        """Return its fields, the method as the column "supermask": a lineage has a method, too."""
        return {"supermask" if name == "method" else name: value for name, value in super().parameters().items()}

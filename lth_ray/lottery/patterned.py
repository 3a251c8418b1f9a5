"""Sources of masks that are made from another one: redrawn, permuted, or by its pattern for another network."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from lth_ray.config import Model, digest
from lth_ray.data import Identity

# fields of Prune that say what its units are, and which layers are left
STRUCTURAL = ("structure", "include", "exclude", "may_empty_layers")


@dataclass(frozen=True)
class Redrawn:
    """A random mask made from that of segment `of`.

    scope: "random" draws as many weights in each layer, the scopes of ShuffledMask permute its entries.
    rule: the pruning rule's meaning where it prunes whole units, which are then what is drawn.
    """

    of: str
    scope: str
    seed: int
    rule: Mapping[str, Any] | None = None

    @cached_property
    def meaning(self) -> dict[str, Any]:
        content = {name: value for name, value in asdict(self).items() if value is not None}
        if self.rule is not None:
            content["rule"] = {name: self.rule[name] for name in STRUCTURAL if name in self.rule}
        return {"mask": digest("mask", {"redrawn": content})}


@dataclass(frozen=True)
class Permuted:
    """The mask of segment `of`, its units in the order of another network's (config.PermutedMask).

    given, other: (trajectory, step) of the dense networks that are matched: that in which the mask was found, and the
        other.
    examples: training examples that are compared, 0 where weights are.
    seed: of the order in which groups of units are matched by weights.
    """

    of: str
    match: str
    given: tuple[str, int]
    other: tuple[str, int]
    examples: int
    seed: int

    @cached_property
    def meaning(self) -> dict[str, Any]:
        content = {name: value for name, value in asdict(self).items() if name != "of"}
        return {"mask": digest("mask", {"permuted": self.of, **content})}

    @property
    def needs(self) -> tuple[tuple[str, int, bool], ...]:
        """The stored states it is made from: (trajectory, step, with the optimizer's)."""
        return tuple((*at, False) for at in (self.given, self.other))


@dataclass(frozen=True)
class Patterned:
    """A mask of another network, by the pattern of that of segment `of` (config.Guided).

    model, identity: that segment's network, and the data that it is made for; its key has them.
    """

    of: str
    pattern: str
    uniform: bool
    seed: int
    model: Model
    identity: Identity

    @cached_property
    def meaning(self) -> dict[str, Any]:
        content = {"patterned": self.of, "pattern": self.pattern, "uniform": self.uniform}
        if self.pattern == "positions":
            content["seed"] = self.seed
        return {"mask": digest("mask", content)}

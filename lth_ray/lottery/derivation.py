"""What a segment is derived from: its starting weights and its mask, as small frozen descriptions with keys.

A description says how to make a thing from what is stored; `lth_ray.lottery.realise` makes it. Initialising,
pruning and perturbing are cheap, so that only the states and measurements of training are ever stored.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from lth_ray.config import Model, digest, meaning
from lth_ray.training import Recipe, Seeds

BACKEND = "eager"  # chosen by this rule for every density and architecture so far


@dataclass(frozen=True)
class Init:
    """Newly initialised weights."""

    model: Model
    data_identity: str
    seed: int

    @cached_property
    def meaning(self) -> dict[str, Any]:
        content = {"model": meaning(self.model), "data": self.data_identity, "seed": self.seed}
        return {"init": digest("init", content)}


@dataclass(frozen=True)
class Snapshot:
    """The weights of a trajectory at a step, with its optimizer's state where `optimizer` says so."""

    trajectory: str
    step: int
    optimizer: bool = False

    @cached_property
    def meaning(self) -> dict[str, Any]:
        return {"snapshot": self.trajectory, "step": self.step, "optimizer": self.optimizer}


@dataclass(frozen=True)
class Pruned:
    """The mask of segment `of`, pruned by the state at its end.

    rule: the pruning rule's meaning. rounds: rounds pruned at once (one-shot), to the exact count each would leave.
    seed: of the random criterion.
    """

    of: str
    trajectory: str
    step: int
    rule: Mapping[str, Any]
    rounds: int = 1
    seed: int | None = None

    @cached_property
    def meaning(self) -> dict[str, Any]:
        return {"mask": digest("mask", asdict(self))}


@dataclass(frozen=True)
class Copied:
    """The mask of segment `of`."""

    of: str

    @cached_property
    def meaning(self) -> dict[str, Any]:
        return {"mask": digest("mask", {"copied": self.of})}


@dataclass(frozen=True)
class Redrawn:
    """A random mask made from that of segment `of`: scope "random" draws as many weights in each layer,
    the scopes of ShuffledMask permute its entries."""

    of: str
    scope: str
    seed: int

    @cached_property
    def meaning(self) -> dict[str, Any]:
        return {"mask": digest("mask", {"redrawn": asdict(self)})}


StartSource = Init | Snapshot
MaskSource = Pruned | Copied | Redrawn


@dataclass(frozen=True)
class Segment:
    """One piece of training, step `first` to step `last`, of a trajectory."""

    recipe: Recipe
    start: StartSource
    mask: MaskSource | None
    seeds: Seeds
    first: int
    last: int

    @cached_property
    def meaning(self) -> dict[str, Any]:
        """Of its trajectory: everything its weights depend on but the step at which it stops."""
        return {
            "recipe": self.recipe.meaning(),
            "start": self.start.meaning,
            "mask": self.mask.meaning if self.mask else None,
            "seeds": asdict(self.seeds),
            "first": self.first,
            "backend": BACKEND,
        }

    @cached_property
    def trajectory(self) -> str:
        return digest("trajectory", self.meaning)

    @cached_property
    def key(self) -> str:
        return f"{self.trajectory}-{self.last}"

    @property
    def num_steps(self) -> int:
        return self.last - self.first

    @property
    def needs(self) -> tuple[tuple[str, int, bool], ...]:
        """The states read before it starts: (trajectory, step, with optimizer)."""
        pruned = ((self.mask.trajectory, self.mask.step, False),) if isinstance(self.mask, Pruned) else ()
        return (*self.start_needs, *pruned)

    @property
    def start_needs(self) -> tuple[tuple[str, int, bool], ...]:
        """As `needs`, for its starting weights alone."""
        start = self.start
        return ((start.trajectory, start.step, start.optimizer),) if isinstance(start, Snapshot) else ()

    @property
    def needs_mask_of(self) -> str | None:
        """The segment whose mask its own is made from."""
        return self.mask.of if self.mask else None

"""The stored things: segments of training and tables of measurements, each with the key of what it is derived
from.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any

from lth_ray import pruning
from lth_ray.config import ConfigError, Perturbation, Prune, SupermaskRule, digest, meaning, revised
from lth_ray.lottery.origins import Origin
from lth_ray.lottery.patterned import Permuted, Redrawn
from lth_ray.lottery.sources import (
    Copied,
    Drawn,
    MaskSource,
    Perturbed,
    Pruned,
    Snapshot,
    StartSource,
    StateAt,
    weights_of,
    with_drawn,
)
from lth_ray.pruning import Regrowth
from lth_ray.training import Recipe, Seeds, backend_of
from lth_ray.training.backends import FUSED, REPLICATED

SEEDS = tuple(one.name for one in fields(Seeds))


@dataclass(frozen=True)
class Learned:
    """The learning of a mask, not of weights.

    rule: how.
    prunable: the pruning rule's globs.
    seed: of the first scores.
    """

    rule: SupermaskRule
    prunable: Mapping[str, Any]
    seed: int

    @cached_property
    def meaning(self) -> dict[str, Any]:
        return {"rule": meaning(self.rule), "prunable": self.prunable, "seed": self.seed}


@dataclass(frozen=True)
class Draw:
    """A mask is drawn on the way, as soon as those of several epochs agree (config.EarlyBird).

    rule: the pruning rule's meaning.
    every: the steps between two looks.
    earliest: the first step at which it may be drawn.
    seed: of ties.
    density: what is left of all that is ranked, where the rule states that and no fraction.
    """

    rule: Mapping[str, Any]
    window: int
    distance: float
    every: int
    seed: int | None = None
    density: float | None = None

    @property
    def earliest(self) -> int:
        return (self.window - 1) * self.every

    @cached_property
    def id(self) -> str:
        return digest("early_bird", asdict(self))


@dataclass(frozen=True)
class Stretch:
    """A training lasts as long as the dense network's operations do.

    by: the key of the segment whose network is as small as its own. at_most: steps.
    """

    by: str
    at_most: int | None = None


@dataclass(frozen=True)
class Segment:
    """One piece of training, step `first` to step `last`, of a trajectory; of no step, an evaluation of its start.

    frozen: pruned weights hold what they start with, instead of zero. learned: the mask is trained, not the weights.
    regrowth: the mask changes on the way, and `mask` is the first one; the last one is in the record.
    draw: it ends as soon as this draws a mask, at `last` at the latest; the trajectory is the same without.
    first_of: the segment whose draw is its first step; `first` is the earliest that may be, until it is known.
    stretch: what lengthens it; `recipe` and `last` are those of an unstretched one until its length is known, and
        `planned` is that one then, whose key and trajectory it keeps.
    """

    recipe: Recipe
    start: StartSource
    mask: MaskSource | None
    seeds: Seeds
    first: int
    last: int
    frozen: bool = False
    learned: Learned | None = None
    regrowth: Regrowth | None = None
    draw: Draw | None = None
    first_of: str | None = None
    stretch: Stretch | None = None
    planned: "Segment | None" = None

    @property
    def meaning(self) -> dict[str, Any]:
        """The meaning of its trajectory: everything its weights depend on but the step at which it stops.

        Made when it is asked for: of a hundred thousand planned trainings it would take a gigabyte to keep.
        """
        if self.planned is not None:
            return self.planned.meaning
        later = {
            "stretch": {**asdict(self.stretch), **revised("small")} if self.stretch else None,
            "frozen": self.frozen or None,
            "learned": self.learned.meaning if self.learned else None,
            "regrowth": asdict(self.regrowth) if self.regrowth else None,
        }
        return {
            "recipe": self.recipe.meaning(),
            "start": self.start.meaning,
            "mask": self.mask.meaning if self.mask else None,
            "seeds": {name: getattr(self.seeds, name) for name in SEEDS},
            "first": {"drawn": self.first_of} if self.first_of else self.first,
            "backend": self.backend,
            **{name: value for name, value in later.items() if value is not None},
            **revised("order"),
            **(revised("replicated") if self.backend == REPLICATED else {}),
            **(revised("biases") if self.backend == FUSED and self._may_prune_biases else {}),
        }

    @cached_property
    def backend(self) -> str:
        learned, changing = self.learned is not None, self.regrowth is not None
        state = {"frozen": self.frozen, "learned": learned, "changing": changing}
        return backend_of(self.recipe, masked=self.mask is not None, structured=self.structured, **state)

    @property
    def structured(self) -> bool:
        """True where its mask's rule removes whole units."""
        return bool(self._rule.get("structure"))

    @property
    def _rule(self) -> Mapping[str, Any]:
        """The meaning of the rule by which its mask is found, of those that have one."""
        return (self.mask.rule if isinstance(self.mask, (Pruned, Redrawn)) else None) or {}

    @property
    def _may_prune_biases(self) -> bool:
        """True where the rule includes more than weights, by globs that a bias may match."""
        return any(not glob.endswith("weight") for glob in self._rule.get("include") or ())

    @cached_property
    def trajectory(self) -> str:
        return digest("trajectory", self.meaning)

    @cached_property
    def key(self) -> str:
        if self.planned is not None:
            return self.planned.key
        if self.draw is None:
            return f"{self.trajectory}-{self.last}"
        return f"{digest('early_bird', {'trajectory': self.trajectory, 'draw': self.draw.id})}-{self.last}"

    @property
    def num_steps(self) -> int:
        return self.last - self.first

    def lasting(self, last: int) -> "Segment":
        """Return a stretched training that ends at step `last`, its milestones at the same shares of it."""
        return replace(self, recipe=self.recipe.lasting(last), last=last, planned=self.planned or self)

    @property
    def settled(self) -> "Segment":
        """The same training under the mask that this one ends with, where its own changes on the way: what is hung on
        a ticket takes over its mask."""
        return self if self.regrowth is None else replace(self, regrowth=None, mask=Copied(self.key))

    @property
    def end(self) -> Snapshot | Drawn:
        """The weights it ends with."""
        is_known = self.draw is None and self.stretch is None
        return Snapshot(self.trajectory, self.last) if is_known else Drawn(self.key, self.trajectory)

    @property
    def starts_anew(self) -> bool:
        """True where its first state is its own to keep: drawn, perturbed or wrapped, not another
        trajectory's.
        """
        return self.learned is not None or not isinstance(self.start, (Snapshot, Drawn))

    @property
    def needs(self) -> tuple[StateAt, ...]:
        """The states read before it starts: (trajectory, step, with optimizer)."""
        return (*self.start.needs, *(self.mask.needs if isinstance(self.mask, (Pruned, Permuted)) else ()))

    def with_drawn(self, drawn: Mapping[str, int]) -> "Segment":
        """Return it with the steps of draws as far as they are known, {segment: step}; its key stays."""
        mask, first = self.mask, drawn.get(self.first_of or "", self.first)
        if isinstance(mask, Pruned) and mask.step is None:
            mask = replace(mask, drawn=drawn.get(mask.of))
        known = self.lasting(drawn[self.key]) if self.stretch and not self.planned and self.key in drawn else self
        return replace(known, start=with_drawn(self.start, drawn), mask=mask, first=first)

    @property
    def needs_mask_of(self) -> str | None:
        """The segment whose mask its own is made from."""
        return self.mask.of if self.mask else None


def perturbed(ticket: Segment, rule: Perturbation, seed: int, origin: Origin, prune: Prune) -> Segment:
    """Return `ticket` from perturbed weights; where `rule` gives pruned weights values, they are frozen there.

    origin: the lineage's initial weights.
    prune: its pruning rule.

    Raises ConfigError where the rule looks at the weights that the mask was found by and there are none.
    """
    needs = pruning.needs_of(rule)
    initial = origin if "initial" in needs else None
    final = None
    if "final" in needs:
        if not isinstance(ticket.mask, Pruned) or ticket.mask.step is None:
            raise ConfigError(
                f"Perturb({rule.weights!r}, signs={rule.signs!r}, pruned={rule.pruned!r}): it looks at the weights "
                f"that the mask was found by, and {_why_of_no_weights(ticket.mask)}"
            )
        final = Snapshot(ticket.mask.trajectory, ticket.mask.step)
    source = Perturbed(
        weights_of(ticket.start), rule, initial, final, seed if rule.draws else 0, prune.covers_constants
    )
    return replace(ticket, start=source, frozen=rule.pruned != "zero")


def _why_of_no_weights(mask: MaskSource | None) -> str:
    """Return why no plan can name the weights that a mask was found by, and the remedy."""
    if isinstance(mask, Pruned):
        return "an early-bird draw's are known when it has taken place; give other weights, as 'rewound'"
    if isinstance(mask, Copied):
        return "one that has changed in training (Prune.dynamic) has none; give other weights, as 'rewound'"
    return "a random mask has none; hang it on tickets"


@dataclass(frozen=True)
class Table:
    """Measurements of what segments ended in, which take no training.

    kind: one of lth_ray.lottery.execution.measure.MEASURES.
    of: the keys of the segments whose records it reads, the first of which has the mask.
    states: trained states.
    start: weights that those set out from, or the initial ones.
    """

    kind: str
    recipe: Recipe
    of: tuple[str, ...]
    states: tuple[StartSource, ...] = ()
    start: StartSource | None = None
    options: Mapping[str, Any] | None = None

    @property
    def meaning(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "recipe": self.recipe.meaning(),
            "of": list(self.of),
            "states": [state.meaning for state in self.states],
            "start": self.start.meaning if self.start else None,
            "options": dict(self.options or {}),
        }

    @cached_property
    def key(self) -> str:
        return digest("table", self.meaning)

    def with_drawn(self, drawn: Mapping[str, int]) -> "Table":
        """Return it with the steps of draws as far as they are known."""
        states = tuple(with_drawn(state, drawn) for state in self.states)
        return replace(self, states=states, start=with_drawn(self.start, drawn) if self.start else None)

    @property
    def needs(self) -> tuple[StateAt, ...]:
        """The states it reads: (trajectory, step, with optimizer)."""
        starts = self.start.needs if self.start else ()
        return (*(need for state in self.states for need in state.needs), *starts)

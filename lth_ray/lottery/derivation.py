"""The stored things: segments of training and tables of measurements, each with the key of what it is derived
from.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from lth_ray import pruning
from lth_ray.config import ConfigError, Perturbation, SupermaskRule, digest, meaning, revised
from lth_ray.lottery.sources import (
    Copied,
    MaskSource,
    Origin,
    Perturbed,
    Pruned,
    Snapshot,
    StartSource,
    StateAt,
    weights_of,
)
from lth_ray.pruning import Regrowth
from lth_ray.training import Recipe, Seeds, backend_of
from lth_ray.training.backends import REPLICATED


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
class Segment:
    """One piece of training, step `first` to step `last`, of a trajectory; of no step, an evaluation of its start.

    frozen: pruned weights hold what they start with, instead of zero. learned: the mask is trained, not the weights.
    regrowth: the mask changes on the way, and `mask` is the first one; the last one is in the record.
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

    @cached_property
    def meaning(self) -> dict[str, Any]:
        """The meaning of its trajectory: everything its weights depend on but the step at which it stops."""
        later = {
            "frozen": self.frozen or None,
            "learned": self.learned.meaning if self.learned else None,
            "regrowth": asdict(self.regrowth) if self.regrowth else None,
        }
        return {
            "recipe": self.recipe.meaning(),
            "start": self.start.meaning,
            "mask": self.mask.meaning if self.mask else None,
            "seeds": asdict(self.seeds),
            "first": self.first,
            "backend": self.backend,
            **{name: value for name, value in later.items() if value is not None},
            **revised("order"),
            **(revised("replicated") if self.backend == REPLICATED else {}),
        }

    @cached_property
    def backend(self) -> str:
        learned, changing = self.learned is not None, self.regrowth is not None
        return backend_of(self.recipe, frozen=self.frozen, learned=learned, changing=changing)

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
    def settled(self) -> "Segment":
        """The same training under the mask that this one ends with, where its own changes on the way: what is hung on
        a ticket takes over its mask."""
        return self if self.regrowth is None else replace(self, regrowth=None, mask=Copied(self.key))

    @property
    def end(self) -> Snapshot:
        return Snapshot(self.trajectory, self.last)

    @property
    def starts_anew(self) -> bool:
        """True where its first state is its own to keep: drawn, perturbed or wrapped, not another
        trajectory's.
        """
        return self.learned is not None or not isinstance(self.start, Snapshot)

    @property
    def needs(self) -> tuple[StateAt, ...]:
        """The states read before it starts: (trajectory, step, with optimizer)."""
        pruned = ((self.mask.trajectory, self.mask.step, False),) if isinstance(self.mask, Pruned) else ()
        return (*self.start.needs, *pruned)

    @property
    def needs_mask_of(self) -> str | None:
        """The segment whose mask its own is made from."""
        return self.mask.of if self.mask else None


def perturbed(ticket: Segment, rule: Perturbation, seed: int, origin: Origin) -> Segment:
    """Return `ticket` from perturbed weights; where `rule` gives pruned weights values, they are frozen there.

    origin: the lineage's initial weights.

    Raises ConfigError where the rule looks at the weights that the mask was found by and there are none.
    """
    needs = pruning.needs_of(rule)
    initial = origin if "initial" in needs else None
    final = None
    if "final" in needs:
        if not isinstance(ticket.mask, Pruned):
            raise ConfigError(
                f"Perturb({rule.weights!r}, pruned={rule.pruned!r}): it looks at the weights that the mask was found "
                "by, and a random mask has none; hang it on tickets"
            )
        final = Snapshot(ticket.mask.trajectory, ticket.mask.step)
    source = Perturbed(weights_of(ticket.start), rule, initial, final, seed if rule.draws else 0)
    return replace(ticket, start=source, frozen=rule.pruned != "zero")


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
    states: tuple[Snapshot, ...] = ()
    start: StartSource | None = None
    options: Mapping[str, Any] | None = None

    @cached_property
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

    @property
    def needs(self) -> tuple[StateAt, ...]:
        """The states it reads: (trajectory, step, with optimizer)."""
        starts = self.start.needs if self.start else ()
        return (*(need for state in self.states for need in state.needs), *starts)

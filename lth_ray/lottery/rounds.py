"""Rounds: iterative and one-shot pruning and the retraining methods, as chains of segments.

Every function here is pure: it says what a round is made from, and trains nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from lth_ray.config import (
    EarlyBird,
    Length,
    Prune,
    Rewind,
    Subseeds,
    TaskConfig,
    Variant,
    digest,
    in_few_words,
    steps,
    subseed,
    told,
)
from lth_ray.data import Identity
from lth_ray.lottery.derivation import Draw, Segment, perturbed
from lth_ray.lottery.drawing import check_draw, check_steps
from lth_ray.lottery.kept.structures import Structures, recipe_of
from lth_ray.lottery.mask_rules import draw_of, inherited, mask_seed, pruning_rule, regrowth, searched, with_evidence
from lth_ray.lottery.origins import Adopted, Init, Origin, Pretrained
from lth_ray.lottery.sources import Copied, Drawn, MaskSource, Normalised, Pruned, Snapshot, StartSource, Transplanted
from lth_ray.lottery.stop_rule import StopRule
from lth_ray.training import Recipe, Seeds


@dataclass(frozen=True)
class Round:
    """A ticket to be: round `number` of a lineage.

    segment: the training that gives the ticket.
    search: training that only finds the next round's mask (method "continue", and Prune.search_precision).
    """

    number: int
    segment: Segment
    search: Segment | None = None


@dataclass(frozen=True)
class Lineage:
    """One chain of rounds from one (seed, rewind point, swept values).

    identities, structures: of the data sets and, where a record says them, of the networks of its branches.
    """

    variant: Variant
    recipe: Recipe
    identities: Mapping[TaskConfig, Identity] = field(default_factory=dict, compare=False, repr=False)
    structures: Structures | None = field(default=None, compare=False, repr=False)

    def stop_rule(self, number: int) -> StopRule | None:
        """Return the rule by which it may end at round `number`; the dense network ends none."""
        bound = self.variant.study.stop_below
        return None if bound is None or number == 0 else StopRule(bound, self.recipe.task.metric)

    def __post_init__(self) -> None:
        check_steps(self.variant, self.recipe, self.rewind_step, self.pruned_step)
        if self.draw is not None:
            check_draw(self.variant, self.draw, self.rewind_step, self.pruned_step)

    @property
    def rewind(self) -> Rewind:
        return self.variant.rewind

    @property
    def prune(self) -> Prune:
        return self.variant.study.prune

    @cached_property
    def rewind_step(self) -> int:
        """The rewind step k."""
        return self.recipe.steps(self.rewind.point)

    @cached_property
    def pruned_step(self) -> int:
        """The step of the dense network whose weights give a mask; the last that may be, where it is drawn."""
        at = self.prune.at.latest if isinstance(self.prune.at, EarlyBird) else self.prune.at
        return self.recipe.total_steps if at is None else self.recipe.steps(at)

    @property
    def dense_end(self) -> int:
        """The step at which the training of the dense network ends: what is pruned and what is rewound to are there."""
        return self.recipe.total_steps if self.prune.whole_dense else max(self.pruned_step, self.rewind_step)

    @cached_property
    def draw(self) -> Draw | None:
        """The draw of an early-bird ticket, which ends the training of the dense network."""
        return draw_of(self.prune, self.variant.seed, self.recipe.steps_per_epoch)

    @cached_property
    def id(self) -> str:
        """A readable name, unique in its study: arm, swept values, rewind step and seed."""
        parts = [self.variant.arm] if self.variant.arm else []
        parts += [f"{path.split('.')[-1]}={in_few_words(value)}" for path, value in self.variant.varied.items()]
        if self.rewind.method != "weights":
            parts.append(self.rewind.method)
        if self.rewind.optimizer != "fresh":
            parts.append(self.rewind.optimizer)
        given = {"masks": self.rewind.masks, "batch_norm": self.rewind.batch_norm}
        parts += [f"{name}={value}" for name, value in given.items() if value is not None]
        if self.rewind.perturbation is not None:
            parts.append("-".join(told(self.rewind.perturbation)))
        if self.rewind.pretraining is not None:
            parts.append("-".join(["pretraining", *told(self.rewind.pretraining)]))
        return "/".join([*parts, f"k{self.rewind_step}", f"seed{self.variant.seed}"]).replace(" ", "")

    @cached_property
    def seeds(self) -> Seeds:
        chosen = self.variant.study.subseeds
        return Seeds(*(self._subseed(chosen, name) for name in ("order", "augmentation", "dropout")))

    def _subseed(self, chosen: Subseeds, name: str) -> int:
        own = getattr(chosen, name)
        return subseed(self.variant.seed if own is None else own, name)

    @cached_property
    def dense(self) -> Segment:
        """Round 0, shared by every lineage that differs only in rewind point, pruning rule or branch.

        After a pretraining it is what is left of it.
        """
        before = self.pretraining
        if before is not None:
            start = Transplanted(before.end, self.drawn)
            return replace(before, recipe=self.recipe, start=start, first=before.last, last=self.dense_end)
        draw = None if self.prune.whole_dense else self.draw
        return replace(self.whole(self.origin, self._given_mask), last=self.dense_end, draw=draw)

    @cached_property
    def pretraining(self) -> Segment | None:
        """The training on another task that stands in for the steps before the rewind point."""
        other = self.rewind.pretraining
        if other is None:
            return None
        recipe = self.before(other.data(self.recipe.data), steps(self.rewind_step))
        return self.whole(self.origin, self._given_mask, recipe)

    @property
    def _given_mask(self) -> Copied | None:
        of = self.variant.study.ticket_key
        return Copied(of, self.variant.study.ticket_part) if of else None

    @property
    def origin(self) -> Origin:
        """Its initial weights: newly drawn, those of the study's ticket, or pretrained ones."""
        ticket, part, model = self.variant.study.ticket_key, self.variant.study.ticket_part, self.variant.study.model
        if ticket:
            return Adopted(ticket, part, self.drawn) if part else Adopted(ticket)
        return Pretrained(model.file, tuple(model.redraw), self.drawn) if model.file is not None else self.drawn

    @property
    def drawn(self) -> Init:
        """The new weights of the lineage's seed."""
        return self.initial(self._subseed(self.variant.study.subseeds, "init"))

    def initial(self, seed: int) -> Init:
        """Return weights newly drawn from `seed`, as the study initialises its network."""
        return Init(self.recipe.model, self.recipe.identity.digest, seed)

    @cached_property
    def trunk(self) -> Segment:
        """The dense training that masks are found in and tickets rewind to: `dense` in the search's precision."""
        dense = self.dense if self.draw is None else replace(self.dense, last=self.pruned_step, draw=self.draw)
        return searched(dense, self.prune.search_precision)

    @cached_property
    def _searches_apart(self) -> bool:
        """True where masks are found in another precision than tickets are trained in."""
        return self.prune.search_precision not in (None, self.recipe.train.precision)

    @cached_property
    def rewound(self) -> Snapshot | Transplanted:
        """The dense network's state at the rewind point."""
        return self.rewound_of(self.dense)

    def rewound_of(self, dense: Segment) -> Snapshot | Transplanted:
        """Return a network's state at the rewind point. At its ends training has no optimizer state to restore."""
        if isinstance(dense.start, Transplanted):
            return dense.start
        return Snapshot(dense.trajectory, self.rewind_step, self._restores and self.rewind_step > 0)

    @property
    def _restores(self) -> bool:
        """True where the optimizer's state is restored where there is anything left to train."""
        return self.rewind.optimizer == "restored" and self.rewind_step < self.recipe.total_steps

    @cached_property
    def rounds(self) -> tuple[Round, ...]:
        """The rounds, from 0 to the last."""
        apart = self.trunk.key != self.dense.key and self.prune.num_rounds
        found = [Round(0, self.dense, self.trunk if apart else None)]
        for number in range(1, self.prune.num_rounds + 1):
            made = self._round(number, self._found_by(found), found[-1].segment)
            change = regrowth(self.prune, self.rewind, self.recipe, subseed(self.variant.seed, "growth", number))
            found.append(replace(made, segment=replace(made.segment, regrowth=change)))
        return tuple(found)

    def _found_by(self, earlier: list[Round]) -> Segment:
        return self.trunk if self.prune.from_dense else (earlier[-1].search or earlier[-1].segment)

    def found_by(self, number: int) -> Segment:
        """Return the training whose weights are pruned to the mask of round `number`."""
        return self._found_by(list(self.rounds[:number]))

    def beside(self, **changes: Any) -> "Lineage":
        """Return the study's lineage that differs in its seed or its rewind point (fields of Variant) alone."""
        variant = replace(self.variant, **changes)
        return self._siblings.setdefault((variant.seed, variant.rewind), replace(self, variant=variant))

    @cached_property
    def _siblings(self) -> dict[tuple[int, Rewind], "Lineage"]:
        return {}

    def on(self, data: TaskConfig, **train: Any) -> Recipe:
        """Return the lineage's recipe on a branch's data, with fields of Train set."""
        recipe, identity = self.recipe, self.identities.get(data, self.recipe.identity)
        return recipe_of(recipe.model, data, replace(recipe.train, **train), identity, self.structures)

    def before(self, data: TaskConfig, length: Length) -> Recipe:
        """Return the recipe of a pretraining: the lineage's on other data, at its first rate throughout."""
        return self.on(data, length=length, schedule="constant", milestones=(), cycles=1)

    def _round(self, number: int, before: Segment, own: Segment) -> Round:
        """Return the round that prunes the weights at the end of `before`; own: the training of the ticket before."""
        mask = self._mask(number, before)
        ended = inherited(before.trajectory, before.last if mask.step is None else mask.step, self._restores, mask)
        goes_on, is_led = self.rewind.method == "continue", self.rewind.masks is not None and number > 1
        from_own = Snapshot(own.trajectory, own.last, self._restores) if is_led else ended
        ticket = self._ticket(number, before, mask, from_own)
        apart = goes_on or self.rewind.masks is not None or self._searches_apart
        searches = apart and not self.prune.from_dense and number < self.prune.num_rounds
        search = self.retraining(ended, mask) if goes_on else ticket
        if self.rewind.masks is not None:
            search = self.retraining(self.rewound_of(self.trunk), mask)
        return Round(number, ticket, searched(search, self.prune.search_precision) if searches else None)

    def _ticket(self, number: int, before: Segment, mask: Pruned, ended: StartSource) -> Segment:
        """Return the training of a round's ticket."""
        method, k, total = self.rewind.method, self.rewind_step, self.recipe.total_steps
        if method == "scratch":
            return self.retraining(self.initial(subseed(self.variant.seed, "scratch", number)), mask)
        rewound, norms = self.rewound_of(self.trunk), self.rewind.batch_norm
        if method in ("learning_rate", "fine_tune"):
            start = ended if norms is None else Normalised(ended, rewound)
            if method == "learning_rate":
                return self.retraining(start, mask)
            return Segment(self.recipe.fine_tuning(), start, mask, self.seeds, total, total + total - k)
        begun = rewound if norms is None else Normalised(rewound, ended)
        ticket = self._from_draw(mask) or self.retraining(begun, mask)
        rule = self.rewind.perturbation
        if rule is None:
            return ticket
        if rule.goes_on and before.key != self.trunk.key:
            ticket = replace(ticket, start=Snapshot(before.trajectory, before.first))
        return perturbed(ticket, rule, subseed(self.variant.seed, "perturbation", number), self.origin, self.prune)

    def _from_draw(self, mask: Pruned) -> Segment | None:
        """Return the training of an early-bird ticket from its draw to the end; None where it rewinds."""
        at, trunk = self.prune.at, self.trunk
        if not isinstance(at, EarlyBird) or at.then != "continue" or trunk.draw is None:
            return None
        start = Drawn(trunk.key, trunk.trajectory, self.rewind.optimizer == "restored")
        first = trunk.draw.earliest
        return replace(self.retraining(start, mask), first=first, first_of=trunk.key)

    def _mask(self, number: int, before: Segment) -> Pruned:
        at_once = number if self.prune.one_shot else 1
        end = self.pruned_step if before.key == self.trunk.key else before.last
        step = None if before.draw else end
        seed = mask_seed(self.prune, self.variant.seed, number)
        mask = Pruned(before.key, before.trajectory, step, self.rule, at_once, seed)
        mask = replace(mask, density=self.prune.density(number))
        return with_evidence(mask, self.prune, self.rewind, self.recipe, self.seeds.order, self.origin)

    def whole(self, start: StartSource, mask: MaskSource | None, recipe: Recipe | None = None) -> Segment:
        """Return a training from its first step to its last, by the lineage's recipe or another."""
        recipe = recipe or self.recipe
        return Segment(recipe, start, mask, self.seeds, 0, recipe.total_steps)

    def retraining(self, start: StartSource, mask: MaskSource) -> Segment:
        """Return the training from the rewind point's place in schedule and data to the end."""
        return Segment(self.recipe, start, mask, self.seeds, self.rewind_step, self.recipe.total_steps)

    @cached_property
    def rule(self) -> dict[str, Any]:
        return pruning_rule(self.prune)

    def digest(self, number: int) -> str:
        """Return what identifies (lineage, round) in records, also where lineages share a dense run."""
        return digest("ticket", {"lineage": self.id, "round": number, "segment": self.rounds[number].segment.key})

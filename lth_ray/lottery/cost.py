"""The cost of a ticket: the search for it, in epochs and floating-point operations (Renda et al. 2020,
section 2).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from lth_ray import pruning
from lth_ray.config import bits
from lth_ray.lottery.branch_tree import BranchResult
from lth_ray.lottery.derivation import Segment
from lth_ray.lottery.kept.records import SegmentRecord
from lth_ray.lottery.pieces import Training
from lth_ray.lottery.plan import Plan
from lth_ray.lottery.rounds import Lineage
from lth_ray.lottery.sources import Pruned
from lth_ray.models.flops import TRAINING
from lth_ray.training import Recipe

Lookup = Callable[[str], SegmentRecord | None]  # key -> record of a finished segment


@dataclass(frozen=True)
class Ends(Mapping[str, int]):
    """The steps at which draws and stretched trainings have ended: each is read when it is asked for, as a ticket asks
    for a few of thousands.
    """

    drawing: frozenset[str]
    stretched: frozenset[str]
    record_of: Lookup

    def __getitem__(self, key: str) -> int:
        record = self.record_of(key) if key in self.drawing or key in self.stretched else None
        if record is None or not (key in self.stretched or record.drawn):
            raise KeyError(key)
        return record.last if key in self.stretched or record.drawn is None else int(record.drawn["step"])

    def __iter__(self) -> Iterator[str]:
        return (key for key in self.drawing | self.stretched if key in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


@dataclass(frozen=True)
class Costs:
    """The costs of the results of a plan."""

    plan: Plan

    @cached_property
    def _by_key(self) -> dict[str, Segment]:
        return {key: piece.segment for key, piece in self.plan.pieces.items() if isinstance(piece, Training)}

    @cached_property
    def _drawing(self) -> frozenset[str]:
        return frozenset(key for key, segment in self._by_key.items() if segment.draw is not None)

    @cached_property
    def _stretched(self) -> frozenset[str]:
        return frozenset(key for key, segment in self._by_key.items() if segment.stretch is not None)

    @cached_property
    def _by_trajectory(self) -> dict[str, list[Segment]]:
        """The segments of each trajectory, the longest first."""
        found: dict[str, list[Segment]] = {}
        for segment in sorted(self._by_key.values(), key=lambda segment: -segment.last):
            found.setdefault(segment.trajectory, []).append(segment)
        return found

    def of_ticket(self, lineage: Lineage, number: int, record_of: Lookup) -> dict[str, float | None]:
        """Return the columns of a ticket's row, see `_of`."""
        return self._of(lineage.rounds[number].segment, lineage, record_of)

    def of_branch(self, result: BranchResult, record_of: Lookup) -> dict[str, float | None]:
        """Return as `of_ticket` the columns of what a branch trains; {} for a measurement."""
        return {} if result.table is not None else self._of(result.segment, result.lineage, record_of)

    def _of(self, own: Segment, lineage: Lineage, record_of: Lookup) -> dict[str, float | None]:
        """Return the columns of a training's cost.

        retrain_epochs: of its own training.
        search_epochs, search_flops: of all that led to it and itself, but not the dense network's first training
            (and pretraining), which every method has in common, if in other numbers; 0 for that network.
        ticket_flops: of these and the dense training as far as they use it: all that this one ticket takes.
        scoring_flops: what of `search_flops` went into the scores that masks were found by.
        inference_flops: of one image.
        train_bits, search_bits: of the numbers of its own training, and of the one its mask was found in.

        A training step counts as three forward passes of its batch (SAM's as six), and scores by examples as their
        criterion says (pruning.Criterion.passes), of which only kept weights count; the floating-point operations are
        those that a sparse implementation would need, whatever their bits.
        """
        own = own.with_drawn(self._drawn(record_of))
        common = {segment.trajectory for segment in (lineage.pretraining, lineage.dense, lineage.trunk) if segment}
        spent = self.spent(own, record_of)
        search = [one for one in spent if one.segment.trajectory not in common]
        retrained = [one for one in search if one.segment.trajectory == own.trajectory]
        mask, record = self._mask(own), record_of(own.key)
        found_in = self._by_key.get(mask.of) if mask is not None else None
        scored = self._scoring(spent, record_of)
        return {
            "retrain_epochs": _epochs(retrained, own.recipe),
            "search_epochs": _epochs(search, own.recipe),
            "search_flops": _sum(self._flops(search, record_of), scored),
            "ticket_flops": _sum(self._flops(spent, record_of), scored),
            "scoring_flops": scored,
            "inference_flops": None if record is None else record.forward_flops,
            "train_bits": bits(own.recipe.train.precision),
            "search_bits": None if found_in is None else bits(found_in.recipe.train.precision),
        }

    def _drawn(self, record_of: Lookup) -> Mapping[str, int]:
        """Return {segment: step} of the draws that have taken place, and of the ends of stretched trainings."""
        return Ends(self._drawing, self._stretched, record_of)

    def spent(self, own: Segment, record_of: Lookup) -> list["Spent"]:
        """Return `own` and all training that its weights and its mask come from, whoever else uses it too.

        Each is there once, up to the last step that is used.
        A mask taken over from a ticket comes from what found it: the ticket's own training is no part of that.
        """
        found: dict[str, Spent] = {}
        drawn = self._drawn(record_of)
        left = [Spent(own, drawn.get(own.key, own.last))]
        while left:
            one = left.pop()
            known = found.get(one.segment.trajectory)
            if known is None or known.last < one.last:
                found[one.segment.trajectory] = one
            if known is None:
                left += self._before(one.segment.with_drawn(drawn))
        return list(found.values())

    def _before(self, segment: Segment) -> list["Spent"]:
        """Return the training that made the states it starts from and prunes, as far as it is the plan's.

        What found the ticket that a study starts from is not counted.
        """
        mask = self._mask(segment)
        needed = [(trajectory, step) for trajectory, step, _ in segment.start.needs]
        needed += [(mask.trajectory, mask.at)] if mask is not None and mask.at is not None else []
        made = [Spent(self._by_trajectory[at][0], step) for at, step in needed if at in self._by_trajectory]
        return [one for one in made if one.num_steps > 0]

    def _mask(self, segment: Segment) -> Pruned | None:
        """Return the pruning that its mask, or the one this is made from, was found by."""
        first = self._pruned(segment)
        return first.mask if first is not None and isinstance(first.mask, Pruned) else None

    def _pruned(self, segment: Segment) -> Segment | None:
        """Return the training that its mask, or the one this is made from, was found for."""
        found: Segment | None = segment
        while found is not None and not isinstance(found.mask, Pruned):
            found = self._by_key.get(found.mask.of) if found.mask is not None else None
        return found

    def _scoring(self, spent: list["Spent"], record_of: Lookup) -> float | None:
        """Return the operations of the scores that their masks were found by, each mask's once; None where one of them
        is not known: it has no record yet, or one of a version that did not count them.
        """
        first = [found for one in spent if (found := self._pruned(one.segment)) is not None]
        each = {found.mask.meaning["mask"]: found for found in first if found.mask is not None}
        total = 0.0
        for found in each.values():
            record = self._record(found, record_of)
            known = None if record is None else record.scoring_flops
            if known is None and _is_scored(found):
                return None
            total += known or 0.0
        return total

    def _flops(self, spent: list["Spent"], record_of: Lookup) -> float | None:
        """Return their sum; None where one is not known: its training has no record yet."""
        total = 0.0
        for one in spent:
            record = self._record(one.segment, record_of)
            if record is None or record.forward_flops is None:
                return None
            recipe = one.segment.recipe
            total += TRAINING * record.forward_flops * recipe.examples_a_step * recipe.train.passes * one.num_steps
            total += record.regrowth_flops or 0
        return total

    def _record(self, segment: Segment, record_of: Lookup) -> SegmentRecord | None:
        """Return a record of its trajectory, whose segments have their network and mask in common."""
        same = self._by_trajectory.get(segment.trajectory, [segment])
        return next((record for one in same if (record := record_of(one.key)) is not None), None)


@dataclass(frozen=True)
class Spent:
    """The part of a training that a ticket uses: its steps up to `last`."""

    segment: Segment
    last: int

    @property
    def num_steps(self) -> int:
        return self.last - self.segment.first

    @property
    def epochs(self) -> float:
        return self.num_steps / self.segment.recipe.steps_per_epoch


def _is_scored(segment: Segment) -> bool:
    """Return whether its mask was found by scores that take any operations of the network."""
    return isinstance(segment.mask, Pruned) and pruning.criterion_of(segment.mask.rule["criterion"]).passes > 0


def _sum(trained: float | None, scored: float | None) -> float | None:
    return None if trained is None or scored is None else trained + scored


def _epochs(spent: list[Spent], recipe: Recipe) -> float | None:
    """Return the epochs of some training; None where nothing is an epoch."""
    return sum(one.epochs for one in spent) if recipe.has_epochs else None

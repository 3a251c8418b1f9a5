"""The cost of a ticket: the search for it, in epochs and floating-point operations (Renda et al. 2020,
section 2).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lth_ray.lottery.branch_tree import BranchResult
from lth_ray.lottery.derivation import Segment
from lth_ray.lottery.pieces import Training
from lth_ray.lottery.plan import Plan
from lth_ray.lottery.rounds import Lineage
from lth_ray.lottery.sources import Pruned
from lth_ray.models.flops import TRAINING

Record = Mapping[str, Any]
Lookup = Callable[[str], Record | None]  # key -> record of a finished segment


@dataclass(frozen=True)
class Costs:
    """The costs of the results of a plan."""

    plan: Plan

    @cached_property
    def _by_key(self) -> dict[str, Segment]:
        return {key: piece.segment for key, piece in self.plan.pieces.items() if isinstance(piece, Training)}

    @cached_property
    def _by_trajectory(self) -> dict[str, Segment]:
        """The longest segment of each trajectory."""
        ordered = sorted(self._by_key.values(), key=lambda segment: segment.last)
        return {segment.trajectory: segment for segment in ordered}

    def of_ticket(self, lineage: Lineage, number: int, record_of: Lookup) -> dict[str, float | None]:
        """Return the columns of a ticket's row, see `_cost`."""
        return self._of(lineage.rounds[number].segment, lineage, record_of)

    def of_branch(self, result: BranchResult, record_of: Lookup) -> dict[str, float | None]:
        """Return as `of_ticket` the columns of what a branch trains; {} for a measurement."""
        return {} if result.table is not None else self._of(result.segment, result.lineage, record_of)

    def _of(self, own: Segment, lineage: Lineage, record_of: Lookup) -> dict[str, float | None]:
        common = {segment.key for segment in (lineage.pretraining, lineage.dense) if segment}
        retrainings = [segment for segment in self.trainings(own) if segment.key not in common]
        return _cost(own, retrainings, record_of)

    def trainings(self, own: Segment) -> list[Segment]:
        """Return `own` and all training that its weights and its mask come from, each once, whoever else uses
        it too.

        A mask taken over from a ticket comes from what found it: the ticket's own training is no part of that.
        """
        found: dict[str, Segment] = {}
        left = [own]
        while left:
            segment = left.pop()
            if segment.key not in found:
                found[segment.key] = segment
                left += self._before(segment)
        return list(found.values())

    def _before(self, segment: Segment) -> list[Segment]:
        """Return the training that made the states it starts from and prunes, as far as it is the plan's.

        What found the ticket that a study starts from is not counted.
        """
        mask = segment.mask
        while mask is not None and not isinstance(mask, Pruned):
            mask = self._by_key[mask.of].mask if mask.of in self._by_key else None
        needed = [(trajectory, step) for trajectory, step, _ in segment.start.needs]
        needed += [(mask.trajectory, mask.step)] if mask is not None else []
        makers = [(self._by_trajectory[at], step) for at, step in needed if at in self._by_trajectory]
        return [maker for maker, step in makers if step > maker.first]


def _cost(own: Segment, retrainings: list[Segment], record_of: Lookup) -> dict[str, float | None]:
    """Return the columns of a training's cost.

    retrain_epochs: of its own training.
    search_epochs, search_flops: of all that led to it and itself, but not the dense network's first training
        (and pretraining), which every method has in common; 0 for that network.
    inference_flops: of one image.

    A training step counts as three forward passes of its batch, of which only kept weights count; the
    floating-point operations are those that a sparse implementation would need.
    """
    record = record_of(own.key)
    flops = [_flops(segment, record_of(segment.key)) for segment in retrainings]
    return {
        "retrain_epochs": sum(_epochs(segment) for segment in retrainings if segment.key == own.key),
        "search_epochs": sum(_epochs(segment) for segment in retrainings),
        "search_flops": None if None in flops else float(sum(value for value in flops if value is not None)),
        "inference_flops": None if record is None else record.get("forward_flops"),
    }


def _epochs(segment: Segment) -> float:
    return segment.num_steps / segment.recipe.steps_per_epoch


def _flops(segment: Segment, record: Record | None) -> int | None:
    if record is None or record.get("forward_flops") is None:
        return None
    steps = TRAINING * record["forward_flops"] * segment.recipe.data.batch_size * segment.num_steps
    return int(steps + record.get("regrowth_flops", 0))

"""What a ticket has cost: the search for it, in epochs and floating-point operations (Renda et al. 2020, section 3)."""

from collections.abc import Callable, Mapping
from typing import Any

from lth_ray.lottery.derivation import Segment
from lth_ray.lottery.hanging import BranchResult
from lth_ray.lottery.rounds import Lineage
from lth_ray.models.flops import TRAINING

Record = Mapping[str, Any]
Lookup = Callable[[str], Record | None]  # key -> record of a finished segment


def searched(lineage: Lineage, number: int) -> list[Segment]:
    """The trainings that the ticket of round `number` took, its own among them, none of them shared with anybody.

    A one-shot ticket took the dense training and its own alone; "continue" takes the search and one training.
    """
    if number == 0:
        return [lineage.dense]
    own = lineage.rounds[number].segment
    if lineage.prune.one_shot:
        return [lineage.dense, own]
    rounds = lineage.rounds[1:number]
    return [lineage.dense, *(r.search or r.segment for r in rounds), own]


def ticket_cost(lineage: Lineage, number: int, record_of: Lookup) -> dict[str, float | None]:
    """Columns of a ticket's row."""
    return _cost(searched(lineage, number), lineage.rounds[number].segment, record_of)


def branch_cost(result: BranchResult, record_of: Lookup) -> dict[str, float | None]:
    """As `ticket_cost`, of a branch's result: the search for the ticket it hangs on, and its own training."""
    trained = [segment for _, segment in result.trainings]
    if result.table is not None or not trained:
        return {}
    before = searched(result.lineage, result.round)
    return _cost([*before, *trained], trained[-1], record_of)


def _cost(segments: list[Segment], own: Segment, record_of: Lookup) -> dict[str, float | None]:
    """retrain_epochs: of the last training. search_epochs, search_flops: of all of them; a training step is three
    forward passes of its batch, of which only kept weights count. inference_flops: of one image."""
    known = [(segment, record_of(segment.key)) for segment in segments]
    record = record_of(own.key)
    flops = [
        TRAINING * r["forward_flops"] * segment.recipe.data.batch_size * segment.num_steps
        for segment, r in known
        if r is not None and r.get("forward_flops") is not None
    ]
    return {
        "retrain_epochs": own.num_steps / own.recipe.steps_per_epoch,
        "search_epochs": sum(segment.num_steps / segment.recipe.steps_per_epoch for segment in segments),
        "search_flops": float(sum(flops)) if len(flops) == len(segments) else None,
        "inference_flops": None if record is None else record.get("forward_flops"),
    }

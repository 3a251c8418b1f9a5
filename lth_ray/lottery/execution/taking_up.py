"""Dense trainings of one trajectory take each other up: what one has trained until a draw is not trained again."""

from typing import Any

from lth_ray.lottery.execution.looking import Looks, until
from lth_ray.lottery.execution.progress import Progress
from lth_ray.lottery.execution.reading import MissingState, stored_segment, stored_state
from lth_ray.lottery.kept.records import SegmentRecord
from lth_ray.lottery.pieces import Training
from lth_ray.store import Store
from lth_ray.training import Start


def taken_up(training: Training, store: Store, wanted: int, began: float, here: dict[str, Any]) -> Progress | None:
    """Return the furthest point of a sibling's training, up to step `wanted`, from which this one goes on.

    That is where masks have agreed: there states are kept with all that training goes on with. One that draws a mask
    itself goes no further than to its own draw, and only where the sibling has looked for that.
    """
    records = [stored_segment(store, one.key) for one in training.siblings]
    found = [
        (int(seen["drawn"]["step"]), record, record.looks, seen["drawn"])
        for record in records
        if record is not None and record.diverged_at is None and record.looks and _serves(training, record.looks)
        for seen in record.looks.values()
        if seen["drawn"] is not None and seen["drawn"]["agreed"]
    ]
    for step, record, looks, drawn in sorted(found, key=lambda one: -one[0]):
        own = training.segment.draw and looks[training.segment.draw.id]["drawn"]
        if not training.segment.first < step <= min(wanted, own["step"] if own else wanted):
            continue
        try:
            state = stored_state(store, training.segment.trajectory, step, optimizer=True)
        except MissingState:
            continue
        rows = _rows(training, record, step)
        start = Start(step, state.model, state.optimizer, rows, drawn["loss_sum"], drawn["loss_steps"])
        before = [one for one in (*record.earlier_environments, record.environment) if one != here]
        return Progress(start, [*before, here], began, looks=until(looks, step), taken_up=step)
    return None


def _serves(training: Training, looks: Looks) -> bool:
    return all(draw.id in looks for draw in training.draws)


def _rows(training: Training, record: SegmentRecord, step: int) -> dict[str, list[Any]]:
    """Return what this training would have measured until then: the sibling has measured where it ended, too."""
    every = training.recipe.evaluate_every
    kept = [number for number, at in enumerate(record.journal["step"]) if at <= step and at % every == 0]
    return {name: [values[number] for number in kept] for name, values in record.journal.items()}

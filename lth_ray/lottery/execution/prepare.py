"""Preparation of a training: what is left to be done, and the stored state that it sets out from."""

from typing import Any

from lth_ray.lottery.execution.progress import Outcome, Prepared, Progress
from lth_ray.lottery.execution.publish import discard
from lth_ray.lottery.execution.reading import MissingState, is_whole, recorded_mask, stored_segment, stored_state
from lth_ray.lottery.execution.reconstruct import Found, mask_of, segment_start
from lth_ray.lottery.execution.taking_up import taken_up
from lth_ray.lottery.kept.records import SegmentRecord
from lth_ray.lottery.pieces import Training
from lth_ray.pruning import Mask
from lth_ray.store import Store, segment_path
from lth_ray.store.layout import OPTIMIZER, state_of, states_folder
from lth_ray.tasks.base import Loaded
from lth_ray.training import Start


def prepare(
    training: Training, store: Store, dataset: Loaded, began: float, here: dict[str, Any]
) -> Prepared | Outcome:
    """Return where training sets out from; or the outcome, where nothing is left to be done."""
    record = _published(training, store, dataset)
    rest = None
    if record is not None:
        outcome = nothing_left(training, store, record)
        if outcome is not None:
            return outcome
        if training.measured:  # another run was first, and did not keep all that this one's study needs
            rest = training.missing(store)
    making = training if rest is None else training.for_states(rest)
    if making.measured:
        found = mask_of(training.segment, store, dataset)
    else:
        found = Found(recorded_mask(store, training.record_key, at_first=True))
    beginning = _beginning(making, store, dataset, found.mask, began, here)
    return Prepared(rest, record, found.mask, beginning, found.scoring_flops)


def nothing_left(training: Training, store: Store, record: SegmentRecord) -> Outcome | None:
    """Return the outcome of a training whose segment is finished with all the states that it is to keep; else
    None.
    """
    if record.diverged_at is None and training.missing(store):
        return None
    store.drop_checkpoints(training.key)
    discard(training, store)
    return Outcome(record if training.measured else None, 0, 0.0)


def _published(training: Training, store: Store, dataset: Loaded) -> SegmentRecord | None:
    """Return the record of the training's segment, its mask made again where that was lost or damaged."""
    record = stored_segment(store, training.record_key)
    if record is None or record.mask is None or is_whole(record.mask, store):
        return record
    mask = mask_of(training.segment, store, dataset).mask
    if mask is not None and store.save_mask(mask) == record.mask:
        return record
    store.quarantine(segment_path(training.record_key))  # made in another environment: nothing can restore that mask
    return None


def _beginning(
    training: Training, store: Store, dataset: Loaded, mask: Mask | None, began: float, here: dict[str, Any]
) -> Progress:
    """Return the newest checkpoint; for what only makes states, else the nearest stored one; else the start.

    Nothing may be passed over: a checkpoint behind a state that is still missing is of no use.
    """
    segment, missing = training.segment, training.missing(store)
    contents = {}
    if segment.starts_anew and segment.first in missing:
        state = segment_start(segment, mask, store, dataset)
        contents[segment.first] = store.save_state(segment.trajectory, segment.first, state.model)
        missing.remove(segment.first)
    wanted = min(missing, default=segment.last)
    checkpoint = store.newest_checkpoint(training.key)
    sibling = taken_up(training, store, wanted, began, here) if training.measured and training.siblings else None
    if sibling is not None and (checkpoint is None or checkpoint.step <= sibling.start.step):
        sibling.contents |= contents
        return sibling
    if checkpoint is not None and checkpoint.step <= wanted:
        kept = checkpoint.journal
        start = Start(
            checkpoint.step,
            checkpoint.model,
            checkpoint.optimizer,
            kept["rows"],
            kept["loss_sum"],
            kept["loss_steps"],
            kept.get("history", {}),
        )
        earlier = [known for known in kept["environments"] if known != here]
        contents |= {int(step): digest for step, digest in kept["contents"].items()}
        known = Progress(start, [*earlier, here], began, kept["started_at"], kept["seconds"], contents)
        known.looks, known.taken_up = kept.get("looks", {}), kept.get("taken_up")
        return known
    snapshot = None if training.measured else _nearest_snapshot(training, store, wanted)
    return Progress(snapshot or _first(training, store, dataset, mask), [here], began, contents=contents)


def _first(training: Training, store: Store, dataset: Loaded, mask: Mask | None) -> Start:
    state = segment_start(training.segment, mask, store, dataset)
    return Start(training.segment.first, state.model, state.optimizer)


def _nearest_snapshot(training: Training, store: Store, wanted: int) -> Start | None:
    """Return the last whole state of the trajectory, up to step `wanted`, that training can go on from."""
    trajectory = training.segment.trajectory
    paths = (path for path in store.list(states_folder(trajectory)) if path.endswith(OPTIMIZER))
    steps = {found[1] for path in paths if (found := state_of(path)) is not None}
    for step in sorted((step for step in steps if step <= wanted), reverse=True):
        try:
            state = stored_state(store, trajectory, step, optimizer=True)
        except MissingState:  # it was damaged: the one before it will do
            continue
        return Start(step, state.model, state.optimizer)
    return None

"""Execution of one planned piece of training: from the nearest stored state, through checkpoints, to its
record.
"""

import copy
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from lth_ray import probes, pruning
from lth_ray.config import meaning
from lth_ray.lottery.execution.changed_masks import changes, final_mask
from lth_ray.lottery.execution.checkpoints import Checkpoints
from lth_ray.lottery.execution.progress import Progress
from lth_ray.lottery.execution.reconstruct import (
    Mask,
    MissingState,
    build,
    mask_of,
    network,
    recorded_mask,
    segment_start,
    set_aside,
    stored_record,
    stored_state,
)
from lth_ray.lottery.pieces import Piece, Training
from lth_ray.lottery.stored import Record
from lth_ray.models import tied
from lth_ray.models.flops import forward_flops, uses_of_weights
from lth_ray.store import DamagedFile, MissingFile, Store, content, mask_path, segment_path, state_path
from lth_ray.store.layout import OPTIMIZER, state_of, states_folder
from lth_ray.tasks.base import Loaded
from lth_ray.training import (
    ALONE,
    Clock,
    Pause,
    Recipe,
    Start,
    Supermask,
    Team,
    Usage,
    environment,
    stored_beside,
    train_segment,
)


@dataclass(frozen=True)
class Outcome:
    """The outcome of a piece.

    trained_steps: optimizer steps taken here, 0 where it was stored already.
    training_s: those of `seconds` that went into training and evaluation, and not into states, records and
        the like.
    """

    record: Record | None
    trained_steps: int
    seconds: float
    training_s: float = 0.0


@dataclass(frozen=True)
class Prepared:
    """The rest of a training, ready to begin.

    It is plain data, as it is sent to a whole team: a study's own functions cannot be.

    rest: the states that an earlier run, whose `record` stands, has left out; None for all of it.
    """

    rest: list[int] | None
    record: Record | None
    mask: Mask | None
    progress: Progress

    def of(self, training: Training) -> Training:
        """Return what is left of `training`."""
        return training if self.rest is None else training.for_states(self.rest)


def execute(
    training: Training, store: Store, dataset: Loaded, device: str, clock: Clock | None = None, team: Team = ALONE
) -> Outcome:
    """Train `training.segment` and publish its record unless that is done; what was published first stands.

    In a team the leader alone touches the store; the others are told what they need of it.
    Raises MissingState where something it is derived from is not there any more: a new plan makes that again.
    """
    began = time.monotonic()
    prepared = team.told(lambda: prepare(training, store, dataset, began, environment(device, team.size)))
    if isinstance(prepared, Outcome):
        return prepared
    making = prepared.of(training)
    model = network(making.segment, prepared.mask)
    with Usage(device) as usage:
        last = _train(making, prepared, store, model.to(device), dataset, clock or Clock(), team)
    prepared.progress.usage = usage.columns
    record = team.told(lambda: finish(making, prepared, store, model, last))
    steps = last.step - prepared.progress.start.step
    return Outcome(record if training.measured else None, steps, time.monotonic() - began, prepared.progress.training_s)


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
    mask = (
        mask_of(training.segment, store, dataset)
        if making.measured
        else recorded_mask(store, training.record_key, "first_mask")
    )
    return Prepared(rest, record, mask, _beginning(making, store, mask, began, here))


def nothing_left(training: Training, store: Store, record: Record) -> Outcome | None:
    """Return the outcome of a training whose segment is finished with all the states that it is to keep; else
    None.
    """
    if record["diverged_at"] is None and training.missing(store):
        return None
    store.drop_checkpoints(training.key)
    discard(training, store)
    return Outcome(record if training.measured else None, 0, 0.0)


def finish(training: Training, prepared: Prepared, store: Store, model: torch.nn.Module, last: Pause) -> Record | None:
    """Publish what a training came to; return the record that stands."""
    record = prepared.record
    if training.measured:
        own = _record(training, store, model, prepared.mask, last, prepared.progress)
        record = _publish(training, store, own, prepared.progress.contents)
    probes.point("published")
    store.drop_checkpoints(training.key)
    discard(training, store)
    return record


def _published(training: Training, store: Store, dataset: Loaded) -> Record | None:
    """Return the record of the training's segment, its mask made again where that was lost or damaged."""
    record = stored_record(store, training.record_key)
    if record is None or record["mask"] is None or _is_whole(record["mask"], store):
        return record
    mask = mask_of(training.segment, store, dataset)
    if mask is not None and store.save_mask(mask) == record["mask"]:
        return record
    store.quarantine(segment_path(training.record_key))  # made in another environment: nothing can restore that mask
    return None


def _is_whole(mask: str, store: Store) -> bool:
    """Return whether a mask is there as it was written; a damaged one is moved aside."""
    try:
        store.load_mask(mask)
    except MissingFile:
        return False
    except DamagedFile as error:
        set_aside(store, error)
        return False
    return True


def _train(
    training: Training,
    prepared: Prepared,
    store: Store,
    model: torch.nn.Module,
    dataset: Loaded,
    clock: Clock,
    team: Team,
) -> Pause:
    """Train to the end, the leader keeping states and checkpoints on the way; return the last pause."""
    segment, last = training.segment, None
    applied = None if segment.learned else prepared.mask  # a learned mask lies within it, as the network itself sees to
    with Checkpoints(store, clock.written) as checkpoints:
        pauses = train_segment(
            training.key,
            segment.recipe,
            model,
            dataset,
            applied,
            segment.seeds,
            prepared.progress.start,
            segment.last,
            first=segment.first,
            pauses=training.states,
            clock=clock,
            measured=training.measured,
            frozen=segment.frozen,
            team=team,
            regrowth=segment.regrowth,
        )
        for last in prepared.progress.timed(pauses):
            if not (team.leads and last.finite):
                continue
            keep(training, store, last, prepared.progress)
            if last.due and last.step < segment.last:
                checkpoints.save((training.key, last.run, journal(last, prepared.progress)))
    assert last is not None
    return last


def _beginning(training: Training, store: Store, mask: Mask | None, began: float, here: dict[str, Any]) -> Progress:
    """Return the newest checkpoint; for what only makes states, else the nearest stored one; else the start.

    Nothing may be passed over: a checkpoint behind a state that is still missing is of no use.
    """
    segment, missing = training.segment, training.missing(store)
    contents = {}
    if segment.starts_anew and segment.first in missing:
        state = segment_start(segment, mask, store)
        contents[segment.first] = store.save_state(segment.trajectory, segment.first, state.model)
        missing.remove(segment.first)
    wanted = min(missing, default=segment.last)
    checkpoint = store.newest_checkpoint(training.key)
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
        return Progress(start, [*earlier, here], began, kept["started_at"], kept["seconds"], contents)
    snapshot = None if training.measured else _nearest_snapshot(training, store, wanted)
    return Progress(snapshot or _first(training, store, mask), [here], began, contents=contents)


def _first(training: Training, store: Store, mask: Mask | None) -> Start:
    state = segment_start(training.segment, mask, store)
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


def keep(training: Training, store: Store, pause: Pause, progress: Progress) -> None:
    """Store the state at a pause where it is one of the training's; the first of a new segment is stored
    already.
    """
    run, segment = pause.run, training.segment
    if pause.step not in training.states or (segment.starts_anew and pause.step == segment.first):
        return
    optimizer = stored_beside(run) if training.resumable_at(pause.step) else None
    digest = store.save_state(segment.trajectory, pause.step, run.model.state_dict(), optimizer)
    progress.contents[pause.step] = digest


def journal(pause: Pause, progress: Progress) -> dict[str, Any]:
    """Return what a checkpoint holds beside the state; a copy, as it is written while training goes on."""
    run = pause.run
    return copy.deepcopy(
        {
            "rows": pause.journal,
            "loss_sum": float(run.loss_sum),
            "loss_steps": run.loss_steps,
            "started_at": progress.started_at,
            "seconds": progress.spent_s,
            "environments": progress.environments,
            "contents": progress.contents,
            "history": run.history,
        }
    )


def _publish(training: Training, store: Store, record: Record, contents: Mapping[int, str]) -> Record:
    """Publish a record; return the one that stands.

    Where another was first, one's own states go unless they are the same.
    """
    while not store.publish_segment(training.segment.key, record):
        first = stored_record(store, training.segment.key)
        if first is not None:
            for step, own in contents.items():
                if first["contents"].get(str(step), own) != own:
                    store.delete(state_path(training.segment.trajectory, step, own, training.resumable_at(step)))
            return first
    return record


def discard(piece: Piece, store: Store) -> None:
    """Remove what was there for this piece and others, once all of them are finished, unless a record keeps
    it.
    """
    for state in piece.discards:
        makers = (stored_record(store, key) for key in {state.maker, f"{state.trajectory}-{state.step}"})
        is_kept = any(maker is not None and state.step in maker["states"] for maker in makers)
        if not is_kept and all(store.exists(reader) for reader in state.readers):
            store.delete_state(state.trajectory, state.step)


def _uses(recipe: Recipe) -> dict[str, int]:
    """Count the uses of weights once a process for each network."""
    name = json.dumps([meaning(recipe.model), recipe.identity.input_shape, type(recipe.task).__name__])
    if name not in _USES:
        _USES[name] = uses_of_weights(build(recipe), recipe.task.example(recipe.identity))
    return _USES[name]


_USES: dict[str, dict[str, int]] = {}


def network_of(model: torch.nn.Module) -> torch.nn.Module:
    """Return the network itself, where a mask is learned over it."""
    return model.network if isinstance(model, Supermask) else model


def _record(
    training: Training, store: Store, model: torch.nn.Module, mask: Mask | None, last: Pause, progress: Progress
) -> Record:
    """Return the record of a finished segment: existence is completion."""
    segment = training.segment
    changed = changes(segment, last.run, mask, store, _uses(segment.recipe))
    mask = final_mask(last.run, mask)
    mask_content = store.save_mask(mask) if mask is not None else None
    end = content(model.state_dict())
    return {
        "key": segment.key,
        "trajectory": segment.trajectory,
        "meaning": segment.meaning,
        "functions": {field: [one.name, one.source] for field, one in segment.recipe.functions},
        "metric": segment.recipe.task.metric.document,
        "first": segment.first,
        "last": segment.last,
        "backend": f"{last.run.backend}-{segment.recipe.train.precision}",
        "mask": mask_content,
        "remaining_weights": pruning.density(mask) if mask is not None else 1.0,
        "remaining_of_all": pruning.density_of_all(mask, network_of(model)) if mask is not None else 1.0,
        "forward_flops": forward_flops(model, _uses(segment.recipe), mask) if segment.learned is None else None,
        "layer_densities": pruning.layer_densities(mask) if mask is not None else {},
        "tied": tied(model),
        "content": hashlib.sha256(f"{mask_content}/{end}".encode()).hexdigest(),
        "files": [mask_path(one) for one in dict.fromkeys((mask_content, changed.get("first_mask"))) if one],
        "states": sorted(step for step in training.states - training.passing if last.finite or step < last.step),
        "contents": {str(step): digest for step, digest in sorted(progress.contents.items())},
        "journal": last.journal,
        "measurements": {"learned_density": model.density()} if isinstance(model, Supermask) else {},
        "diverged_at": None if last.finite else last.step,
        "train_steps": last.step - segment.first,
        "started_at": progress.started_at,
        "seconds": round(progress.spent_s, 3),
        "environment": progress.environments[-1],
        "earlier_environments": progress.environments[:-1],
        "usage": progress.usage,
        **changed,
    }

"""Execution of one planned piece of training: from where it is prepared to set out, through checkpoints, to its record.

What is called lies in one direction: `execute` has `prepare` read and `publish` write, and these have the store, the
networks and what is reconstructed from both.
"""

import copy
import time
from typing import Any

import torch

from lth_ray.lottery.execution.checkpoints import Checkpoints
from lth_ray.lottery.execution.networks import network
from lth_ray.lottery.execution.prepare import prepare
from lth_ray.lottery.execution.progress import Outcome, Prepared, Progress
from lth_ray.lottery.execution.publish import finish
from lth_ray.lottery.pieces import Training
from lth_ray.store import Store
from lth_ray.tasks.base import Loaded
from lth_ray.training import ALONE, Clock, Pause, Team, Usage, environment, stored_beside, train_segment


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

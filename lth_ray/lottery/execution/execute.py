"""Execution of one planned piece of training: from where it is prepared to set out, through checkpoints, to its record.

What is called lies in one direction: `execute` has `prepare` read and `publish` write, and these have the store, the
networks and what is reconstructed from both.
"""

import copy
import time
from dataclasses import replace
from typing import Any

import torch

from lth_ray.lottery.execution.checkpoints import Checkpoints
from lth_ray.lottery.execution.looking import Watch, drawn_by, entry, keep_drawn, look
from lth_ray.lottery.execution.networks import network
from lth_ray.lottery.execution.prepare import prepare
from lth_ray.lottery.execution.progress import Outcome, Prepared, Progress
from lth_ray.lottery.execution.publish import finish
from lth_ray.lottery.execution.reading import drawn_step
from lth_ray.lottery.execution.smaller import stretched_end
from lth_ray.lottery.pieces import Training
from lth_ray.store import Store
from lth_ray.tasks.base import Loaded
from lth_ray.training import ALONE, Clock, Pause, Team, Usage, environment, measure, stored_beside, train_segment


def execute(
    training: Training, store: Store, dataset: Loaded, device: str, clock: Clock | None = None, team: Team = ALONE
) -> Outcome:
    """Train `training.segment` and publish its record unless that is done; what was published first stands.

    In a team the leader alone touches the store; the others are told what they need of it.
    Raises MissingState where something it is derived from is not there any more: a new plan makes that again.
    """
    began = time.monotonic()
    training = _with_drawn(training, store, team)
    prepared = team.by_leader(lambda: prepare(training, store, dataset, began, environment(device, team.size)))
    if isinstance(prepared, Outcome):
        return prepared
    making = prepared.of(training)
    model = network(making.segment, prepared.mask)
    with Usage(device) as usage:
        last = _train(making, prepared, store, model.to(device), dataset, clock or Clock(), team)
    prepared.progress.usage = usage.columns
    record = team.by_leader(lambda: finish(making, prepared, store, model, last))
    steps = last.step - prepared.progress.start.step
    progress, record = prepared.progress, record if training.measured else None
    taken = (progress.taken_up or training.segment.first) - training.segment.first
    return Outcome(record, steps, time.monotonic() - began, progress.training_s, taken)


def _with_drawn(training: Training, store: Store, team: Team) -> Training:
    """Return a training whose first step is that of a draw, or whose last is that of another's operations, with that
    step.
    """
    if training.segment.stretch is not None and training.segment.planned is None:
        training = training.lasting(team.by_leader(lambda: stretched_end(training.segment, store)))
    of = training.segment.first_of
    if of is None:
        return training
    step = team.by_leader(lambda: drawn_step(store, of))
    return replace(training, segment=training.segment.with_drawn({of: step}))


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
    segment, last, progress = training.segment, None, prepared.progress
    watch = Watch(training.draws, segment.recipe, store, progress.looks) if team.leads else None
    if watch is not None and training.draws and progress.start.step == segment.first:
        model.load_state_dict(progress.start.model)
        watch.look(model, segment.first)
    looked_at = frozenset(step for one in training.draws for step in range(one.every, segment.last + 1, one.every))
    ends = team.by_leader(lambda: drawn_by(segment, progress) is not None)  # as a sibling has found
    applied = None if segment.learned else prepared.mask  # a learned mask lies within it, as the network itself sees to
    with Checkpoints(store, clock.written) as checkpoints:
        pauses = train_segment(
            training.key,
            segment.recipe,
            model,
            dataset,
            applied,
            segment.seeds,
            progress.start,
            progress.start.step if ends else segment.last,
            first=segment.first,
            pauses=training.states | looked_at,
            clock=clock,
            measured=training.measured,
            frozen=segment.frozen,
            team=team,
            regrowth=segment.regrowth,
            structured=segment.structured,
        )
        for last in progress.timed(pauses):
            if last.finite and last.step in looked_at:
                ends = team.by_leader(lambda run=last.run: look(training, watch, run, progress))  # type: ignore[misc]
            if team.leads and last.finite:
                keep(training, store, last, progress)
                if last.due and last.step < segment.last and not ends:
                    checkpoints.save((training.key, last.run, journal(last, progress)))
            if last.finite and (last.due or last.step in training.states):
                team.meet()  # however long the leader stores: an exchange of the next step would not wait for that
            if ends:
                break
    assert last is not None
    if segment.draw is not None and last.finite:
        if team.leads and drawn_by(segment, progress) is None:
            keep_drawn(training, store, last.run, progress)
            progress.looks[segment.draw.id]["drawn"] = entry(last.run, agreed=False)
        team.meet()
        if last.step not in segment.recipe.evaluation_steps(segment.first, segment.last):
            measure(last.run, dataset, last.journal)
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
            "looks": progress.looks,
            "taken_up": progress.taken_up,
        }
    )

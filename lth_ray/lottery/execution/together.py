"""Execution of several trainings at once, their networks trained as one batch
(lth_ray.training.together.lockstep).

Each is a piece of training of its own: it sets out from its own checkpoint, keeps its own states and publishes its own
record, as `lth_ray.lottery.execution.execute` has one do.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lth_ray.lottery.execution.checkpoints import Checkpoints
from lth_ray.lottery.execution.execute import journal, keep
from lth_ray.lottery.execution.networks import network
from lth_ray.lottery.execution.prepare import prepare
from lth_ray.lottery.execution.progress import Outcome, Prepared
from lth_ray.lottery.execution.publish import finish
from lth_ray.lottery.execution.reading import once_more
from lth_ray.lottery.pieces import Training
from lth_ray.store import Store
from lth_ray.tasks.base import Loaded
from lth_ray.training import Clock, Lane, Pause, Usage, environment, train_segments_together


@dataclass(frozen=True)
class Member:
    """A training that is trained with others.

    measured: whether it is to have a record.
    making: what is left of it.
    """

    key: str
    measured: bool
    making: Training
    prepared: Prepared
    model: torch.nn.Module

    @property
    def lane(self) -> Lane:
        return Lane(
            self.making.key, self.model, self.prepared.mask, self.making.segment.seeds, self.prepared.progress.start
        )


def execute_together(
    trainings: Sequence[Training], store: Store, dataset: Loaded, device: str, clock: Clock | None = None
) -> list[Outcome | Exception]:
    """Train at most Train.replicates trainings that differ in seeds, masks and starts alone; return what came
    of each.

    What keeps one from being begun is its own, and stops no other. Those whose checkpoints lie at different steps, as
    a kill may leave them, are trained in turn: a result does not depend on the others.
    """
    began = time.monotonic()
    found: dict[str, Outcome | Exception] = {}
    batches: dict[tuple[int, int, bool], list[Member]] = defaultdict(list)
    for training in trainings:
        member = _begun(training, store, dataset, device, began)
        if isinstance(member, Member):
            start, making = member.prepared.progress.start, member.making
            batches[start.step, making.segment.last, making.measured].append(member)
        else:
            found[training.key] = member
    for _, members in sorted(batches.items()):
        with Usage(device) as usage:
            pauses = _train(members, store, dataset, clock or Clock())
        for member, last in zip(members, pauses, strict=True):
            member.prepared.progress.usage = usage.columns
            found[member.key] = _ended(member, store, last, began)
    return [found[training.key] for training in trainings]


def _begun(
    training: Training, store: Store, dataset: Loaded, device: str, began: float
) -> Member | Outcome | Exception:
    try:
        prepared = once_more(lambda: prepare(training, store, dataset, began, environment(device, 1)))
        if isinstance(prepared, Outcome):
            return prepared
        making = prepared.of(training)
        return Member(
            training.key, training.measured, making, prepared, network(making.segment, prepared.mask).to(device)
        )
    except Exception as error:
        return error


def _ended(member: Member, store: Store, last: Pause, began: float) -> Outcome | Exception:
    progress = member.prepared.progress
    try:
        record = finish(member.making, member.prepared, store, member.model, last)
    except Exception as error:
        return error
    steps, seconds = last.step - progress.start.step, time.monotonic() - began
    told = record if member.measured else None
    return Outcome(told, steps, seconds, progress.training_s)


def _train(members: Sequence[Member], store: Store, dataset: Loaded, clock: Clock) -> list[Pause]:
    """Train members that set out from one step; return the last pause of each."""
    making = members[0].making
    segment, by_key = making.segment, {member.making.key: member for member in members}
    states = frozenset[int]().union(*(member.making.states for member in members))
    last: dict[str, Pause] = {}
    with Checkpoints(store, clock.written) as checkpoints:
        began = time.monotonic()
        for pauses in train_segments_together(
            [member.lane for member in members],
            segment.recipe,
            dataset,
            segment.last,
            first=segment.first,
            pauses=states,
            clock=clock,
            measured=making.measured,
        ):
            took = time.monotonic() - began
            for key, pause in pauses.items():
                by_key[key].prepared.progress.training_s += took
                if pause.finite:
                    keep(by_key[key].making, store, pause, by_key[key].prepared.progress)
            last |= pauses
            due = [(key, pause) for key, pause in pauses.items() if pause.due and pause.finite]
            if due and due[0][1].step < segment.last:
                checkpoints.save(
                    *((key, pause.run, journal(pause, by_key[key].prepared.progress)) for key, pause in due)
                )
            began = time.monotonic()
    return [last[member.making.key] for member in members]

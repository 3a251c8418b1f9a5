"""The estimated cost of a study here: the time and space of its steps, by what records say, else by a timing."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch

from lth_ray.config import Launch, Prune
from lth_ray.lottery import Measurement, Plan, Training, make_trials
from lth_ray.lottery.derivation import Segment
from lth_ray.lottery.kept.records import segments
from lth_ray.lottery.kept.stored import whole_records
from lth_ray.running.timing import Timing, pace_of, timed
from lth_ray.store import Store
from lth_ray.training.backends import FUSED
from lth_ray.training.process import spare_dynamo

MOST_RECORDS = 500  # that are asked what they took
UNPRUNED = 0, Prune(fraction=0.5, rounds=0)
RAY_S, TEAM_S = 7.0, 12.0  # until Ray has started, and the workers of a team, as measured on one machine

Level = tuple[str, int]  # what a step's time depends on, and how many rounds have pruned


@dataclass(frozen=True)
class Estimate:
    """The estimated cost of what is left of a study.

    seconds: until what is left is done, on `slots` trainings at a time, start-up included.
    core_hours: of training and evaluation, all of it.
    state_bytes: of storage.
    recorded: the share of the time that records of the storage, and not a timing, say.
    """

    seconds: float
    core_hours: float
    slots: int
    state_bytes: int
    recorded: float


def estimate(plan: Plan, data_root: str | None, launch: Launch, cores: int, store: Store | None = None) -> Estimate:
    """Time a few steps and evaluations of what no record of `store` tells, on this machine, with one thread.

    Workers that train a network together share its steps; what they exchange is not counted.
    """
    spare_dynamo()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _estimate(plan, data_root, launch, cores, store)
    finally:
        torch.set_num_threads(threads)


def _estimate(plan: Plan, data_root: str | None, launch: Launch, cores: int, store: Store | None) -> Estimate:
    team = max(1, launch.workers)
    slots = launch.concurrent or max(1, int(cores / (team * launch.cpus_per_worker)))
    levels = _Levels(plan)
    known = _recorded(plan, store, levels, team)
    seconds, recorded, size = 0.0, 0.0, 0
    together = make_trials(plan.jobs)
    for beside, piece in ((len(trial), piece) for trial in together for job in trial for piece in job.pieces):
        if isinstance(piece, Measurement):
            continue  # seconds against minutes
        recipe, level = piece.recipe, levels.of(piece)
        timing = levels.timing(piece, data_root)
        if level in known:
            spent = piece.num_steps * known[level] * team
            recorded += spent
        else:
            evaluations = len(recipe.evaluation_steps(piece.segment.first, piece.last)) if piece.measured else 0
            places = recipe.train.replicates / beside  # of a batch of them, those that copies fill included
            spent = (piece.num_steps * timing.step_s + evaluations * timing.evaluation_s) * places
        seconds += spent
        size += len(piece.states) * timing.state_bytes * (3 if piece.resumable else 1)
    longest = max(plan.priorities.values(), default=0) / max(1, plan.remaining_steps)  # of a chain, as a share
    longest = min(1.0, longest * max(map(len, together), default=1))
    starting = RAY_S + TEAM_S * len(plan.jobs) / slots * (launch.workers > 0) if plan.jobs else 0.0
    whole = seconds / team * max(1 / slots, longest) + starting
    return Estimate(whole, seconds / 3600, slots, size, recorded / seconds if seconds else 0.0)


class _Levels:
    """The levels to which the networks of a plan are pruned, where that changes their time: in compiled steps
    alone.

    Rounds between which under half of the weights go are timed as one.
    """

    def __init__(self, plan: Plan) -> None:
        self.rounds: dict[str, tuple[int, Prune]] = {}
        for lineage in plan.lineages:
            for r in lineage.rounds:
                for segment in (r.segment, r.search):
                    if segment is not None:
                        self.rounds.setdefault(segment.key, (r.number, lineage.prune))
        for result in plan.branches:
            for _, segment in result.trainings:
                self.rounds.setdefault(segment.key, (result.round, result.lineage.prune))

    def of(self, piece: Training) -> Level:
        return pace_of(piece.recipe), self._pruned(piece.segment)[0]

    def timing(self, piece: Training, data_root: str | None) -> Timing:
        return timed(piece.recipe, data_root, self._pruned(piece.segment)[1], self._pruned(piece.segment)[0])

    def _pruned(self, segment: Segment) -> tuple[int, Prune]:
        number, prune = self.rounds.get(segment.key, UNPRUNED)
        if segment.mask is None or segment.backend != FUSED:
            return 0, prune
        if prune.fraction is None:
            return number, prune
        share = max(prune.fraction.values()) if isinstance(prune.fraction, Mapping) else prune.fraction
        halving = math.log(2) / -math.log1p(-share)  # rounds; a share may be as small as a float can be
        every = max(1, int(min(halving, prune.num_rounds + 1)))
        return number // every * every, prune


def _recorded(plan: Plan, store: Store | None, levels: _Levels, team: int) -> dict[Level, float]:
    """Return seconds a step, evaluations included, of finished segments of the study; of as many workers."""
    if store is None:
        return {}
    left = {piece.key for job in plan.jobs for piece in job.pieces}
    wanted = {levels.of(piece) for piece in _trained(plan) if piece.key in left}
    done = [piece for piece in _trained(plan) if piece.key not in left and levels.of(piece) in wanted][:MOST_RECORDS]
    records = segments(whole_records(store, [piece.key for piece in done]))
    found: dict[Level, list[float]] = defaultdict(list)
    for piece in (piece for piece in done if piece.key in records):
        record = records[piece.key]
        alike = record.environment["world_size"] == team and record.train_steps
        if alike and record.diverged_at is None and not record.earlier_environments:
            found[levels.of(piece)].append(record.seconds / record.train_steps)
    return {level: statistics.median(each) for level, each in found.items()}


def _trained(plan: Plan) -> Iterator[Training]:
    return (
        piece for piece in plan.pieces.values() if isinstance(piece, Training) and piece.measured and piece.num_steps
    )

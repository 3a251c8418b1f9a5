"""Jobs: pieces that follow one another; jobs can run side by side, producers before consumers."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from graphlib import TopologicalSorter

from lth_ray.lottery.branch_tree import BranchResult
from lth_ray.lottery.derivation import Segment, Table
from lth_ray.lottery.pieces import Piece, Training
from lth_ray.lottery.rounds import Lineage

Groups = dict[tuple[str, str], list[str]]  # (kind, job id): piece keys


@dataclass(frozen=True)
class Job:
    """Pieces that run one after another.

    kind: "dense", "lineage", "branch", "table" or "state".
    needs: keys of other jobs' pieces that must be done first.
    masks: those of them whose masks alone are used, so that they may have diverged.
    """

    id: str
    kind: str
    pieces: tuple[Piece, ...]
    needs: frozenset[str]
    masks: frozenset[str] = frozenset()

    @cached_property
    def num_steps(self) -> int:
        return sum(piece.num_steps for piece in self.pieces)


def make_jobs(
    lineages: Iterable[Lineage], branches: Iterable[BranchResult], unfinished: Mapping[str, Piece]
) -> tuple[Job, ...]:
    """Return the jobs that come to the `unfinished` pieces, in an order in which they could run."""
    makers = {state: key for key, piece in unfinished.items() for state in piece.makes}
    jobs = []
    for (kind, job_id), keys in _groups(list(lineages), branches, unfinished).items():
        pieces = tuple(unfinished[key] for key in keys)
        states = {makers.get((trajectory, step), "") for piece in pieces for trajectory, step, _ in piece.reads}
        after = {key for piece in pieces for key in piece.after}
        needs = frozenset((states | after) & unfinished.keys()) - set(keys)
        jobs.append(Job(job_id, kind, pieces, needs, needs - states))
    return _ordered(jobs)


def _groups(lineages: list[Lineage], branches: Iterable[BranchResult], unfinished: Mapping[str, Piece]) -> Groups:
    """Put each piece in the first job that asks for it.

    A lineage's chain is shared only from its start, so that jobs never wait for each other in a circle.
    """
    groups: Groups = {}
    claimed: set[str] = set()

    def claim(kind: str, job_id: str, pieces: Iterable[Segment | Table | None]) -> None:
        for piece in pieces:
            if piece is not None and piece.key in unfinished and piece.key not in claimed:
                claimed.add(piece.key)
                groups.setdefault((kind, job_id), []).append(piece.key)

    for key, piece in unfinished.items():
        if isinstance(piece, Training) and not piece.measured:
            groups.setdefault(("state", f"state/{piece.segment.trajectory[:8]}"), []).append(key)
    before = shared_names((lineage, one) for lineage in lineages for one in (lineage.pretraining,) if one)
    dense = shared_names((lineage, one) for lineage in lineages for one in (lineage.trunk, lineage.dense))
    for lineage in sorted(lineages, key=lambda one: one.draw is None):  # which go on from where draws have ended
        if lineage.pretraining is not None:
            claim("dense", f"pretraining/{before[lineage.pretraining.trajectory]}", [lineage.pretraining])
        for one in (lineage.trunk, lineage.dense):
            claim("dense", f"dense/{dense[one.trajectory]}", [one])
    for lineage in lineages:
        claim("lineage", lineage.id, [s for r in lineage.rounds[1:] for s in (r.segment, r.search)])
    for result in branches:
        for job_id, segment in result.trainings:
            claim("branch", job_id, [segment])
        claim("table", result.id, [result.table])
    return groups


def shared_names(standing: Iterable[tuple[Lineage, Segment]]) -> dict[str, str]:
    """Return {trajectory: name} of the trainings that lineages stand on.

    A name is what the lineages on one have in common and those on others have not, as `batch_size=60`, with the seed.
    Two of one name have the beginnings of their trajectories behind it.
    """
    on: dict[str, list[Lineage]] = {}
    for lineage, segment in standing:
        on.setdefault(segment.trajectory, []).append(lineage)
    pieces = {one: [lineage.id.split("/")[:-1] for lineage in own] for one, own in on.items()}  # less the seed
    everywhere = set.intersection(*(set(parts) for own in pieces.values() for parts in own)) if pieces else set()
    names = {}
    for trajectory, own in pieces.items():
        shared = [part for part in own[0] if all(part in parts for parts in own) and part not in everywhere]
        names[trajectory] = "/".join([*shared, f"seed{on[trajectory][0].variant.seed}"])
    counts = Counter(names.values())
    return {one: name if counts[name] == 1 else f"{name}/{one[:8]}" for one, name in names.items()}


def _ordered(jobs: list[Job]) -> tuple[Job, ...]:
    by_id = {job.id: job for job in jobs}
    producer = {piece.key: job.id for job in jobs for piece in job.pieces}
    needed = {job.id: sorted({producer[need] for need in job.needs}) for job in jobs}
    return tuple(by_id[job_id] for job_id in TopologicalSorter(needed).static_order())

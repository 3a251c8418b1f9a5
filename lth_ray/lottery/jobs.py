"""Jobs: pieces that follow one another; jobs can run side by side, producers before consumers."""

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
    for lineage in sorted(lineages, key=lambda one: one.draw is None):  # which go on from where draws have ended
        before = lineage.pretraining
        if before is not None:
            claim("dense", f"pretraining/{before.trajectory[:8]}/seed{lineage.variant.seed}", [before])
        for dense in (lineage.trunk, lineage.dense):
            claim("dense", f"dense/{dense.trajectory[:8]}/seed{lineage.variant.seed}", [dense])
    for lineage in lineages:
        claim("lineage", lineage.id, [s for r in lineage.rounds[1:] for s in (r.segment, r.search)])
    for result in branches:
        for job_id, segment in result.trainings:
            claim("branch", job_id, [segment])
        claim("table", result.id, [result.table])
    return groups


def _ordered(jobs: list[Job]) -> tuple[Job, ...]:
    by_id = {job.id: job for job in jobs}
    producer = {piece.key: job.id for job in jobs for piece in job.pieces}
    needed = {job.id: sorted({producer[need] for need in job.needs}) for job in jobs}
    return tuple(by_id[job_id] for job_id in TopologicalSorter(needed).static_order())

"""Trials: a job by itself, or several whose networks are trained as one batch."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import NamedTuple

from lth_ray.lottery.jobs import Job
from lth_ray.lottery.pieces import Piece, Training
from lth_ray.training import Recipe

Trial = tuple[Job, ...]


class Shape(NamedTuple):
    """The properties that pieces which are trained together have in common."""

    recipe: Recipe
    first: int
    last: int
    measured: bool


@dataclass
class Filling:
    """A trial that may have room.

    rank: of its jobs.
    pinned: where they are to run.
    """

    shape: Shape
    rank: int
    pinned: object
    jobs: list[Job]


def make_trials(jobs: Sequence[Job], pinned: Callable[[Job], object] = lambda _: None) -> list[Trial]:
    """Put `jobs` into trials: each with others of its pieces' shape, Train.replicates of them at most, and
    else alone.

    Both are in an order in which they could run. pinned: jobs of which this differs are not put together.

    A trial begins when all that its jobs need is there. They have equally many jobs on the longest chain before them:
    hence none waits for another, nor trials for each other in a circle. Those that can begin soonest come first.
    """
    places = _places(jobs)
    filling: list[Filling] = []
    found: list[list[Job]] = []
    for job in sorted(jobs, key=lambda job: places[job.id]):
        shape, rank, where = shape_of(job), places[job.id][0], pinned(job)
        open_one = next((one for one in filling if (one.rank, one.pinned, one.shape) == (rank, where, shape)), None)
        if shape is None:
            found.append([job])
        elif open_one is None:
            filling.append(Filling(shape, rank, where, [job]))
            found.append(filling[-1].jobs)
        else:
            open_one.jobs.append(job)
        filling = [one for one in filling if len(one.jobs) < one.shape.recipe.train.replicates]
    return [tuple(trial) for trial in found]


def in_lockstep(jobs: Trial, left: Callable[[], set[str]]) -> Iterator[list[tuple[Job, Piece]]]:
    """Yield the jobs' first pieces, then their second ones, and so on; each time of the jobs that are still
    `left`, by id.

    A job that is further on than others takes its next one with theirs: all have one shape.
    """
    for pieces in zip_longest(*(job.pieces for job in jobs)):
        still = left()
        found = [(job, piece) for job, piece in zip(jobs, pieces, strict=True) if piece is not None and job.id in still]
        if found:
            yield found


def shape_of(job: Job) -> Shape | None:
    """Return that of all of its pieces; None where they differ, or are none to be trained with others."""
    shapes = [_shape(piece) for piece in job.pieces]
    return shapes[0] if all(shape == shapes[0] for shape in shapes) else None


def _shape(piece: Piece) -> Shape | None:
    if not isinstance(piece, Training) or piece.recipe.train.replicates == 1:
        return None
    return Shape(piece.recipe, piece.segment.first, piece.segment.last, piece.measured)


def _places(jobs: Iterable[Job]) -> dict[str, tuple[int, int]]:
    """Return {job: (the jobs, and the steps, on the longest chain before it)}."""
    found: dict[str, tuple[int, int]] = {}
    steps: dict[str, int] = {}  # to the end of a piece
    ranks: dict[str, int] = {}  # of the job that does it
    for job in jobs:
        at = max((steps[need] for need in job.needs), default=0)
        rank = max((ranks[need] + 1 for need in job.needs), default=0)
        found[job.id] = rank, at
        for piece in job.pieces:
            at += piece.num_steps
            steps[piece.key], ranks[piece.key] = at, rank
    return found

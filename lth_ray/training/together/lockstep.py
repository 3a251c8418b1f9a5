"""Segments of one recipe trained together, pausing where each would pause by itself."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import torch

from lth_ray.pruning import Mask
from lth_ray.tasks.base import Loaded
from lth_ray.training.clock import Clock
from lth_ray.training.recipe import Recipe
from lth_ray.training.segment import Journal, Pause, Seeds, Start, begin, note, stops
from lth_ray.training.team import ALONE
from lth_ray.training.together.joint import JointStepper, train_together
from lth_ray.training.together.replicates import replicate


@dataclass(frozen=True)
class Lane:
    """The own part of a segment.

    key: under which its steps are counted; the rest as in `train_segment`.
    """

    key: str
    model: torch.nn.Module
    mask: Mask | None
    seeds: Seeds
    start: Start


def train_segments_together(
    segments: Sequence[Lane],
    recipe: Recipe,
    dataset: Loaded,
    last: int,
    *,
    first: int | None = None,
    pauses: frozenset[int] = frozenset(),
    clock: Clock | None = None,
    measured: bool = True,
) -> Iterator[dict[str, Pause]]:
    """Train segments that start at one step to step `last`; at each stop yield {key: its Pause}.

    The pauses are those that `train_segment` yields one by one. A segment that diverges ends as it does by
    itself, at an evaluation, and the others go on: it keeps its place among them, so that their bits do not
    depend on it. Places of Train.replicates that are left over are filled with copies, for the same reason.

    Errors: ConfigError for segments that cannot be trained together (lth_ray.training.together.replicates).
    """
    places = _filled_up(segments, recipe.train.replicates)
    runs = [begin(s.key, recipe, s.model, dataset, s.mask, s.seeds, s.start) for s in places]
    replicates = replicate(runs)
    journals: list[Journal] = [{name: list(column) for name, column in s.start.journal.items()} for s in places]
    at = replicates.step
    first = at if first is None else first
    evaluations = set(recipe.evaluation_steps(first, last)) if measured else set()
    clock = (clock or Clock()).join(ALONE, runs[0].device)
    clock.begin(at)
    with closing(replicates):
        if at >= last > first:  # nothing is left of them
            ended = zip(replicates.runs, journals, replicates.finite(), strict=True)
            yield {run.key: Pause(at, run, journal, due=False, finite=good) for run, journal, good in ended if run.key}
        for stop in stops(evaluations | pauses | {last}, at, first, last):
            while True:
                due = train_together(replicates, stop, clock)
                finite, measuring = replicates.finite(), replicates.step in evaluations
                if measuring:
                    _measure(replicates, dataset, journals)
                found = {
                    run.key: Pause(run.step, run, journal, due, good)
                    for run, journal, good in zip(replicates.runs, journals, finite, strict=True)
                    if run.key and (good or measuring or not measured)
                }
                if found:
                    yield found
                for run in replicates.runs:
                    if run.key in found and not found[run.key].finite:
                        replicates.leave(run)
                if not any(run.key for run in replicates.runs):
                    return
                if due:
                    clock.begin(replicates.step)
                if replicates.step >= stop:
                    break


def _filled_up(segments: Sequence[Lane], count: int) -> list[Lane]:
    """Return `count` segments: the given ones and copies of the first, which have no key and go nowhere."""
    first, free = segments[0], range(count - len(segments))
    return [*segments, *(replace(first, key="", model=copy.deepcopy(first.model)) for _ in free)]


def _measure(replicates: JointStepper, dataset: Loaded, journals: list[Journal]) -> None:
    """Append a row to the journal of each that has not ended."""
    task = replicates.recipe.task
    splits = task.splits(dataset)
    found = {name: replicates.evaluate(dataset, split) for name, split in splits.items()}
    for number, (run, journal) in enumerate(zip(replicates.runs, journals, strict=True)):
        if run.key:
            note(run, {name: each[number] for name, each in found.items()}, journal)

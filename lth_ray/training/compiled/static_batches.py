"""Batches of the next steps in tensors that stay where they are, as a captured step must have them.

One or several sources are read in step, each a network's own: every tensor has them as its first axis.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from lth_ray.data import Batches, Normalisation, Split
from lth_ray.tasks import Stream
from lth_ray.tasks.base import Batch


class Feed(Protocol):
    """A place where a step finds its examples."""

    def begin(self, step: int, limit: int) -> int:
        """Make ready the batches of the steps from `step` on; return of how many, from 1 to `limit`."""

    def place(self, number: int) -> None:
        """Make that of the number-th of them the present one."""

    def batch(self) -> Batch:
        """Return the present batch, each of its tensors [sources, B, ...]; captured with the step."""


@dataclass
class Gathered:
    """Batches that are no more than images of one resident split: only their positions change from step to
    step.

    rows: the present positions, int64 [sources, B].
    following: those that are ready, [steps, sources, B].
    each: `map`, in threads where there are several sources: each sorts an order of its own when an epoch
        begins.
    """

    sources: Sequence[Batches]
    split: Split
    normalise: Normalisation
    rows: Tensor
    following: Tensor
    each: Callable[..., Iterable[Tensor | None]]

    def begin(self, step: int, limit: int) -> int:
        found = self.each(lambda source: source.positions(step, limit), self.sources)
        self.following = torch.stack([rows for rows in found if rows is not None], dim=1)
        return len(self.following)

    def place(self, number: int) -> None:
        self.rows.copy_(self.following[number])

    def batch(self) -> Batch:
        flat = self.rows.flatten()
        inputs = self.normalise(self.split.images.index_select(0, flat))
        return inputs.view(*self.rows.shape, *inputs.shape[1:]), self.split.labels.index_select(0, flat).view_as(
            self.rows
        )


@dataclass
class Copied:
    """Batches that their sources make, copied to one place."""

    sources: Sequence[Stream]
    places: Batch
    step: int = 0

    def begin(self, step: int, limit: int) -> int:
        self.step = step
        return limit

    def place(self, number: int) -> None:
        for index, source in enumerate(self.sources):
            for place, made in zip(self.places, source.batch(self.step + number), strict=True):
                place[index].copy_(made)

    def batch(self) -> Batch:
        return self.places


def feed(sources: Sequence[Stream], step: int) -> Feed:
    """Return what feeds steps from `step` on."""
    resident = [source for source in sources if isinstance(source, Batches)]
    images = {source.split.images.data_ptr() for source in resident}
    rows = [source.positions(step, 1) for source in resident]
    placed = [row[0] for row in rows if row is not None]
    if len(placed) == len(sources) and len(images) == 1:
        first = resident[0]
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()  # not the node's
        each = map if len(sources) == 1 else ThreadPoolExecutor(cores, thread_name_prefix="orders").map
        return Gathered(resident, first.split, first.normalise, torch.stack(placed), torch.empty(0), each)
    made = (source.batch(step) for source in sources)
    return Copied(sources, tuple(torch.stack(tensors) for tensors in zip(*made, strict=True)))

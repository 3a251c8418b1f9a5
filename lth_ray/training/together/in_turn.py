"""Runs of one recipe that are trained together on a CPU: they take their steps one after another.

A core is busy with one small network already, so that stacking several gains little there. And a product of several
networks at once would give each of them bits that depend on where it lies among the others: a CPU's libraries choose
their instructions by the address of a matrix (MKL does so on some processors). In turn each run has tensors of its own,
and its bits are those of training it by itself, on every processor.
"""

import copy
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch

from lth_ray.tasks import Evaluation
from lth_ray.tasks.base import Batch
from lth_ray.training.loop import Run, eager_step, is_finite
from lth_ray.training.loss import sums_of
from lth_ray.training.recipe import Recipe

NOT_MEASURED = Evaluation(math.nan, math.nan, 0)


@dataclass
class InTurn:
    """Runs in lockstep, as lth_ray.training.together.replicates has them.

    Those without a key only keep a place, untrained.

    step: optimizer steps that each run has taken.
    """

    runs: Sequence[Run]
    step: int = field(init=False)

    def __post_init__(self) -> None:
        self.step = self.runs[0].step

    @property
    def recipe(self) -> Recipe:
        return self.runs[0].recipe

    def advance(self, limit: int) -> int:
        """Take a step of every run, whatever the limit, add its loss to the run's; return the steps taken
        (1).
        """
        for run in self._trained:
            run.loss_steps += eager_step(run)
            run.step += 1
        self.step += 1
        return 1

    def settle(self) -> None:
        """Do nothing: a run's model and optimizer are what is trained."""

    def leave(self, run: Run) -> None:
        """Let `run` stay as it is now: it has ended."""
        self.runs = [stand_in(one) if one is run else one for one in self.runs]

    @torch.inference_mode()
    def evaluate(self, batches: Iterable[Batch]) -> list[Evaluation]:
        """Measure each run's network in evaluation mode over every example of `batches`, once each."""
        task = self.recipe.task
        found: dict[int, list[torch.Tensor]] = {id(run): [] for run in self._trained}
        for run in self._trained:
            run.model.eval()
        for batch in batches:  # each is made once for all
            for run in self._trained:
                found[id(run)].append(sums_of(run.model, [batch], task, run.recipe.train))
        for run in self._trained:
            run.model.train()
        return [task.evaluation(torch.stack(found[id(run)]).sum(0)) if run.key else NOT_MEASURED for run in self.runs]

    def finite(self) -> list[bool]:
        """Return of each run whether its training can go on: loss and weights are neither NaN nor infinite."""
        return [is_finite(run) for run in self.runs]

    @property
    def _trained(self) -> list[Run]:
        return [run for run in self.runs if run.key]


def stand_in(run: Run) -> Run:
    """Return what keeps the place of a run that has ended; it has no key."""
    left = copy.copy(run)
    left.key = ""
    return left

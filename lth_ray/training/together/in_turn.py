"""Runs of one recipe that are trained together on a CPU: they take their steps one after another.

A core is busy with one small network already, so that stacking several gains little there. And a product of several
networks at once would give each of them bits that depend on where it lies among the others: a CPU's libraries choose
their instructions by the address of a matrix (MKL does so on some processors). In turn each run has tensors of its own,
and its bits are those of training it by itself, on every processor.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from lth_ray.tasks import Evaluation
from lth_ray.tasks.base import Loaded
from lth_ray.training.backends import REPLICATED
from lth_ray.training.loop import Eager, Run, is_finite
from lth_ray.training.loss import measured
from lth_ray.training.together.joint import JointStepper, stand_in

NOT_MEASURED = Evaluation(math.nan, math.nan, 0)


@dataclass
class InTurn(JointStepper):
    """Runs in lockstep, as lth_ray.training.together.replicates has them; one without a key is not trained."""

    runs: Sequence[Run]
    alone: list[Eager] = field(init=False)  # takes the steps of each
    name = REPLICATED

    def __post_init__(self) -> None:
        self.alone = [Eager(run) for run in self.runs]

    def advance(self, limit: int) -> int:
        """Take a step of every run, whatever the limit."""
        for run, stepper in zip(self.runs, self.alone, strict=True):
            if run.key:
                stepper.advance(1)
        return 1

    def settle(self) -> None:
        """Do nothing: a run's model and optimizer are what is trained."""

    def leave(self, run: Run) -> None:
        self.runs = [stand_in(one) if one is run else one for one in self.runs]

    @torch.inference_mode()
    def evaluate(self, dataset: Loaded, split: Any) -> list[Evaluation]:
        task = self.recipe.task
        found: dict[int, list[torch.Tensor]] = {id(run): [] for run in self._trained}
        for run in self._trained:
            run.model.eval()
        for batch in task.examples(dataset, split):  # each is made once for all
            for run in self._trained:
                found[id(run)].append(measured(run.model, [batch], task, run.recipe.train)[0])
        for run in self._trained:
            run.model.train()
        return [task.evaluation(torch.stack(found[id(run)]).sum(0)) if run.key else NOT_MEASURED for run in self.runs]

    def finite(self) -> list[bool]:
        return [is_finite(run) for run in self.runs]

    @property
    def _trained(self) -> list[Run]:
        return [run for run in self.runs if run.key]

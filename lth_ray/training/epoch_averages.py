"""The mean of the weights at the ends of epochs (stochastic weight averaging, Izmailov et al. 2018).

In low precision it is what brings accuracy back (Yang et al. 2019, SWALP): the mean is not rounded.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from lth_ray.tasks.base import Batch
from lth_ray.training import averages
from lth_ray.training.batch_norm import reestimate
from lth_ray.training.block_float import measured_in
from lth_ray.training.loss import laid_out, precision_context

if TYPE_CHECKING:
    from lth_ray.training.loop import Run


class EpochAverages:
    """The average of a run whose recipe has Train.average_from."""

    def __init__(self, run: "Run") -> None:
        held = averages.collected(run.model)
        assert held is not None
        self.run, self.pairs, self.held, self.number = run, averages.pairs(run.model), held, int(held)
        layers = [one for one in run.model.modules() if isinstance(one, _BatchNorm)]
        self.counters = [one.num_batches_tracked for one in layers if one.num_batches_tracked is not None]
        own = {id(parameter) for parameter in run.model.parameters()}
        self.statistics = [average for one, average in self.pairs if id(one) not in own]

    def follow(self) -> None:
        """Take up the weights at the end of an epoch, after the optimizer's step; be the weights before the first."""
        recipe, done = self.run.recipe, self.run.step + 1
        if done <= recipe.average_from_step or done % recipe.steps_per_epoch:
            if not self.number:
                averages.follow(self.pairs, 1.0)
            return
        self.number += 1
        self.held.fill_(self.number)
        averages.follow(self.pairs, 1 / self.number)
        if self.statistics:
            self._measure_statistics(range(done - recipe.steps_per_epoch, done))

    @torch.no_grad()
    def _measure_statistics(self, steps: range) -> None:
        """Measure the statistics of the average's batch norms anew, over the batches of some steps."""
        run, precision = self.run, self.run.recipe.train.precision
        stood = [counter.clone() for counter in self.counters]  # those of the weights' own statistics
        with (
            averages.averaged(run.model),
            precision_context(precision, run.device),
            measured_in(precision, run.model),
        ):
            reestimate(run.model, self._groups(steps))
        for counter, before in zip(self.counters, stood, strict=True):
            counter.copy_(before)
        flat = run.team.add(torch.cat([one.flatten() for one in self.statistics])) / run.team.size
        for one, mean in zip(self.statistics, flat.split([one.numel() for one in self.statistics]), strict=True):
            one.copy_(mean.view_as(one))

    def _groups(self, steps: range) -> Iterator[Batch]:
        """Yield this process's part of the batches, as many images at a time as go through the network in training."""
        run = self.run
        for step in steps:
            inputs = run.batches.batch(step, run.model)[0]
            yield from ((laid_out(group, run.recipe.train),) for group in inputs.split(run.gradients.group))

"""The gradients of one global batch, group by group and worker by worker.

A group is what goes through the network at a time: the unit of batch-norm statistics (ghost batch normalisation,
Hoffer et al. 2017, arXiv:1705.08741, section 4), of gradient accumulation and of distribution. A batch has the same
groups however many workers share them, so that the number of workers changes no more than the order of a sum.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lth_ray.tasks.base import Batch
from lth_ray.training.team import Team

Losses = Callable[[Batch, int], tuple[Tensor, dict[str, Any]]]  # (a group, its number in the batch) -> its mean loss


@dataclass
class Gradients:
    """Fills the gradients of `model` with those of the mean loss over a global batch, the same on every worker.

    group: examples in a group. batch: examples in the global batch. This worker has the groups from `first` on.
    Where there are several groups, gradients, the loss and the running statistics of batch norm are summed in one flat
    buffer. Statistics start each group from where the step began and end as the mean over groups.
    """

    model: nn.Module
    team: Team
    group: int
    batch: int
    flat: Tensor = field(init=False)
    views: list[tuple[nn.Parameter, Tensor]] = field(init=False, default_factory=list)
    statistics: list[tuple[Tensor, Tensor]] = field(init=False, default_factory=list)
    counters: list[Tensor] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        if self.alone:
            return
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        layers = [m for m in self.model.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
        buffers = [b for m in layers for b in (m.running_mean, m.running_var) if b is not None]
        self.counters = [m.num_batches_tracked for m in layers if m.num_batches_tracked is not None]
        sizes = [t.numel() for t in (*parameters, *buffers)]
        self.flat = torch.zeros(sum(sizes) + 1, dtype=parameters[0].dtype, device=parameters[0].device)
        parts = iter(torch.split(self.flat, [*sizes, 1]))
        # of the parameter's own strides: the optimizer's fused kernels read both as plain memory
        self.views = [(p, next(parts).as_strided(p.shape, p.stride())) for p in parameters]
        self.statistics = [(buffer, next(parts).view_as(buffer)) for buffer in buffers]

    @property
    def alone(self) -> bool:
        """One group and one worker: what autograd leaves behind is the gradient."""
        return self.team.size == 1 and self.group == self.batch

    @property
    def first(self) -> int:
        """The number of this worker's first group."""
        return self.team.rank * (self.batch // self.group // self.team.size)

    def compute(self, share: Batch, losses: Losses) -> tuple[Tensor, dict[str, Any]]:
        """The global batch's mean loss, a scalar, and the means of this worker's metrics over its groups.

        share: this worker's part of the global batch. losses: takes a group through the network.
        """
        if self.alone:
            loss, metrics = losses(share, 0)
            loss.backward()
            return loss.detach(), metrics
        self.flat.zero_()
        for parameter, view in self.views:
            parameter.grad = view
        began = [buffer.clone() for buffer, _ in self.statistics]
        counted = [counter.clone() for counter in self.counters]
        found: list[dict[str, Any]] = []
        for number, group in enumerate(_groups(share, self.group), start=self.first):
            _set([buffer for buffer, _ in self.statistics], began)
            _set(self.counters, counted)
            loss, metrics = losses(group, number)
            loss = loss * (self.group / self.batch)
            loss.backward()
            self.flat[-1] += loss.detach()
            for buffer, total in self.statistics:
                total += buffer
            found.append(metrics)
        self.team.add(self.flat)
        num_groups = self.batch // self.group
        _set([buffer for buffer, _ in self.statistics], [total / num_groups for _, total in self.statistics])
        _set(self.counters, [counter + 1 for counter in counted])
        return self.flat[-1].clone(), {name: sum(float(m[name]) for m in found) / len(found) for name in found[0]}


def _groups(share: Batch, size: int) -> Iterator[Batch]:
    yield from zip(*(torch.split(tensor, size) for tensor in share), strict=True)


def _set(tensors: list[Tensor], values: list[Tensor]) -> None:
    for tensor, value in zip(tensors, values, strict=True):
        tensor.copy_(value)

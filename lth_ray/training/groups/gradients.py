"""The gradients of one global batch, group by group and worker by worker.

A group is what goes through the network at a time: the unit of batch-norm statistics (ghost batch normalisation,
Hoffer et al. 2017, arXiv:1705.08741, section 4), of gradient accumulation and of distribution. A batch has the same
groups however many workers share them, so that the number of workers changes no more than the order of a sum.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from lth_ray.config import ConfigError
from lth_ray.tasks.base import Batch
from lth_ray.training.averages import HOLDER
from lth_ray.training.batch_norm import statistics_layers
from lth_ray.training.groups.slices import Slices
from lth_ray.training.team import Team


@dataclass
class Moving:
    """Buffers that a forward pass moves, and the sums over groups of what they become; one operation for all of them.

    totals: a view of `total` for each buffer; none of what is not summed.
    endless: the places of buffers with infinities, such as an attention mask of -inf: where these stand still they have
        not moved, though their difference is no number.
    """

    buffers: list[Tensor]
    totals: list[Tensor] = field(default_factory=list)
    total: Tensor | None = None
    before: list[Tensor] = field(init=False)
    endless: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.before = [torch.empty_like(buffer) for buffer in self.buffers]
        self.endless = [place for place, buffer in enumerate(self.buffers) if not buffer.isfinite().all()]

    def begin(self) -> None:
        """Remember where they are."""
        if self.buffers:
            torch._foreach_copy_(self.before, self.buffers)

    def restore(self) -> None:
        """Put them back to there."""
        if self.buffers:
            torch._foreach_copy_(self.buffers, self.before)

    def add(self) -> None:
        """Add them to the totals."""
        if self.buffers:
            torch._foreach_add_(self.totals, self.buffers)

    def add_changes(self) -> None:
        """Add how far they have moved to the totals."""
        if self.buffers:
            changes = list(torch._foreach_sub(self.buffers, self.before))
            for place in self.endless:
                changes[place].masked_fill_(self.buffers[place] == self.before[place], 0.0)
            torch._foreach_add_(self.totals, changes)

    def settle(self, groups: int) -> None:
        """Set them to the mean over groups."""
        if self.total is not None and self.buffers:
            self.total /= groups
            torch._foreach_copy_(self.buffers, self.totals)

    def settle_changes(self, groups: int) -> None:
        """Set them to where they were, moved by the mean change over groups."""
        if self.total is not None and self.buffers:
            self.total /= groups
            torch._foreach_copy_(self.buffers, torch._foreach_add(self.before, self.totals))


Losses = Callable[[Batch, int], tuple[Tensor, dict[str, Any]]]  # (a group, its number in the batch) -> its mean loss


@dataclass
class Gradients:
    """The gradients of `model`, filled with those of the mean loss over a global batch, the same on every
    worker.

    This worker has the groups from `first` on. Where there are several groups, gradients, the loss and the
    running statistics of batch norm are summed in one flat buffer. Statistics start each group from where the
    step began and end as the mean over groups. So does every other buffer of numbers that a forward pass
    moves (spectral_norm's vectors, running statistics of instance norm), of which changes are summed: what
    stands still keeps its bits. Parameters that no group has used have no gradient, as alone.

    group: examples in a group.
    batch: examples in the global batch.
    parts: in how many exchanges a team sums them (lth_ray.training.groups.slices); 1: after the backward pass.
    """

    model: nn.Module
    team: Team
    group: int
    batch: int
    parts: int = 1
    slices: Slices | None = field(init=False, default=None)
    flat: Tensor = field(init=False)
    views: list[tuple[nn.Parameter, Tensor]] = field(init=False, default_factory=list)
    statistics: "Moving" = field(init=False)
    moved: "Moving" = field(init=False)
    counters: "Moving" = field(init=False)
    used: set[int] = field(init=False, default_factory=set)  # places in `views` of what a step's groups have used
    unused: frozenset[int] | None = field(init=False, default=None)  # by any worker, settled at the first step
    first_own: frozenset[int] = field(init=False, default=frozenset())

    def __post_init__(self) -> None:
        if self.alone:
            return
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        buffers = [b for m in statistics_layers(self.model) for b in (m.running_mean, m.running_var) if b is not None]
        known = {id(buffer) for buffer in buffers}
        held = [b for name, b in self.model.named_buffers() if id(b) not in known and not name.startswith(f"{HOLDER}.")]
        others = [buffer for buffer in held if buffer.is_floating_point()]
        self.counters = Moving([buffer for buffer in held if not buffer.is_floating_point()])
        sizes = [t.numel() for t in (*parameters, *buffers, *others)]
        self.flat = torch.zeros(sum(sizes) + 1, dtype=parameters[0].dtype, device=parameters[0].device)
        parts = iter(torch.split(self.flat, [*sizes, 1]))
        in_parameters, in_buffers = sum(p.numel() for p in parameters), sum(b.numel() for b in buffers)
        # of the parameter's own strides: the optimizer's fused kernels read both as plain memory
        self.views = [(p, next(parts).as_strided(p.shape, p.stride())) for p in parameters]
        totals = self.flat[in_parameters:-1].split([in_buffers, sum(b.numel() for b in others)])
        self.statistics = Moving(buffers, [next(parts).view_as(buffer) for buffer in buffers], totals[0])
        self.moved = Moving(others, [next(parts).view_as(buffer) for buffer in others], totals[1])
        if self.parts > 1 and self.team.size > 1:
            self.slices = Slices(self.team, self.flat, parameters, self._gather, self.parts)

    @property
    def alone(self) -> bool:
        """True for one group and one worker: what autograd leaves behind is the gradient."""
        return self.team.size == 1 and self.group == self.batch

    @property
    def first(self) -> int:
        """The number of this worker's first group."""
        return self.team.rank * (self.batch // self.group // self.team.size)

    def compute(self, share: Batch, losses: Losses) -> tuple[Tensor, dict[str, Any]]:
        """Return the global batch's mean loss, a scalar, and the means of this worker's metrics over its
        groups.

        share: this worker's part of the global batch.
        losses: takes a group through the network.
        """
        if self.alone:
            loss, metrics = losses(share, 0)
            loss.backward()
            return loss.detach(), metrics
        self.flat.zero_()
        for moving in (self.statistics, self.moved, self.counters):
            moving.begin()
        self.used.clear()
        found: list[dict[str, Any]] = []
        groups, everything = list(_groups(share, self.group)), range(len(self.views))
        for number, group in enumerate(groups, start=self.first):
            if found:  # not the first, before which all is as it was
                for moving in (self.statistics, self.moved, self.counters):
                    moving.restore()
            loss, metrics = losses(group, number)
            loss = loss * (self.group / self.batch)
            for parameter, _ in self.views:  # autograd then leaves its own, and adds to none one by one
                parameter.grad = None
            slices = self.slices if len(found) == len(groups) - 1 else None
            if slices:
                slices.arm()
            loss.backward()
            if not slices:
                self._gather(everything)
            self.flat[-1].add_(loss.detach())
            self.statistics.add()
            self.moved.add_changes()
            found.append(metrics)
        if self.slices:
            self.slices.settle()
        else:
            self.team.add(self.flat)
        num_groups = self.batch // self.group
        self.statistics.settle(num_groups)
        self.moved.settle_changes(num_groups)
        unused = self._unused()
        for place, (parameter, view) in enumerate(self.views):
            parameter.grad = None if place in unused else view
        return self.flat[-1].clone(), {name: sum(float(m[name]) for m in found) / len(found) for name in found[0]}

    def _gather(self, places: Sequence[int]) -> None:
        """Add the gradients that autograd has left of a group to the sums, all by one operation."""
        found = [(place, self.views[place][0].grad) for place in places]
        given = [(place, gradient) for place, gradient in found if gradient is not None]
        self.used.update(place for place, _ in given)
        if given:
            torch._foreach_add_([self.views[place][1] for place, _ in given], [gradient for _, gradient in given])

    def _unused(self) -> frozenset[int]:
        """Return the places of the parameters that no worker's groups have used in this step; a team settles
        it at its first.
        """
        own = frozenset(range(len(self.views))) - self.used
        if self.team.size == 1:
            return own
        if self.unused is None:
            uses = torch.tensor([place in self.used for place in range(len(self.views))], dtype=self.flat.dtype)
            shared = self.team.add(uses.to(self.flat.device)).tolist()
            self.unused, self.first_own = frozenset(place for place, n in enumerate(shared) if not n), own
        elif own != self.first_own:
            names = {id(parameter): name for name, parameter in self.model.named_parameters()}
            changed = ", ".join(names[id(self.views[place][0])] for place in sorted(own ^ self.first_own))
            raise ConfigError(
                f"--workers {self.team.size}: {changed} of the network take part in some steps and not in others, "
                "which workers do not tell each other; let all take part in each, or train it by one process"
            )
        return self.unused


def _groups(share: Batch, size: int) -> Iterator[Batch]:
    yield from zip(*(torch.split(tensor, size) for tensor in share), strict=True)

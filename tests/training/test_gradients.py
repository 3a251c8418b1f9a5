"""Costs of a step in groups beside a plain one, counted in operations: on a GPU each is at least one launch."""

import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from lth_ray import models
from lth_ray.training.gradients import Gradients
from lth_ray.training.team import Team

VIEWS = ("view", "detach", "as_strided", "expand", "::t", "split", "select", "slice", "alias", "empty", "squeeze")


class Counted(TorchDispatchMode):
    """Counts operations that compute something, and what waits for a device."""

    def __init__(self) -> None:
        super().__init__()
        self.computed, self.waited = 0, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.name()
        self.waited += name in ("aten::_local_scalar_dense", "aten::item", "aten::is_nonzero")
        self.computed += not any(word in name for word in VIEWS)
        return function(*args, **(kwargs or {}))


class OneOfTwo(Team):
    """A worker whose peer has nothing to add."""

    def add(self, values: torch.Tensor) -> torch.Tensor:
        return values


def counted(team: Team, group: int, batch: int) -> Counted:
    model = models.build("cifar_resnet20_4", 10, seed=0)
    images, labels = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.arange(8)
    gradients = Gradients(model, team, group, batch)
    for _ in range(2):  # at the first step a team settles which parameters take part
        with Counted() as step:
            gradients.compute((images, labels), lambda part, _: (F.cross_entropy(model(part[0]), part[1]), {}))
    return step


def test_a_group_a_worker_costs_a_tenth_more_operations_at_most_and_waits_for_nothing() -> None:
    plain, grouped = counted(Team(), 8, 8), counted(OneOfTwo(0, 2), 8, 16)
    assert plain.computed > 200
    assert plain.computed < grouped.computed <= 1.1 * plain.computed
    assert grouped.waited == plain.waited == 0


def test_two_groups_cost_two_plain_steps_and_little_more() -> None:
    plain, grouped = counted(Team(), 8, 8), counted(OneOfTwo(0, 2), 4, 16)
    assert grouped.computed <= 2.1 * plain.computed


def test_infinities_that_stand_still_stay_and_what_moves_beside_them_is_the_mean() -> None:
    class Causal(torch.nn.Linear):
        def __init__(self) -> None:
            super().__init__(3, 3)
            self.register_buffer("hidden", torch.full((3, 3), -torch.inf).triu(1))
            self.register_buffer("seen", torch.zeros(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.seen += x.detach().mean()
            return (super().forward(x)[:, None] + self.hidden).softmax(-1)

    model, inputs = Causal(), torch.arange(12.0).view(4, 3)
    gradients = Gradients(model, Team(), 2, 4)
    for step in (1, 2):
        loss, _ = gradients.compute((inputs,), lambda part, _: (model(part[0]).square().mean(), {}))
        assert loss.isfinite()
        assert torch.equal(model.hidden, torch.full((3, 3), -torch.inf).triu(1))
        assert float(model.seen) == step * 5.5

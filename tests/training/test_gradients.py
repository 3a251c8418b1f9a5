"""Costs of a step in groups beside a plain one, counted in operations: on a GPU each is at least one launch."""

import torch
import torch.nn.functional as F

from lth_ray import models
from lth_ray.training.groups.gradients import Gradients
from lth_ray.training.team import Team
from tests.training.counted import Counted


class OneOfTwo(Team):
    """A worker whose peer has nothing to add."""

    def add(self, values: torch.Tensor) -> torch.Tensor:
        return values


def counted(team: Team, group: int, batch: int) -> Counted:
    model = models.build("cifar_resnet20_4", 10, seed=0)
    images, labels = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.arange(8)
    gradients = Gradients(model, team, group, batch)
    for _ in range(2):  # at the first step a team settles which parameters take part
        model.zero_grad()  # as each step of training ends
        with Counted() as step:
            gradients.compute((images, labels), lambda part, _: (F.cross_entropy(model(part[0]), part[1]), {}))
    return step


def test_a_group_a_worker_costs_a_tenth_more_operations_at_most_and_waits_for_nothing() -> None:
    plain, grouped = counted(Team(), 8, 8), counted(OneOfTwo(0, 2), 8, 16)
    assert plain.computed > 150
    assert plain.computed < grouped.computed <= 1.1 * plain.computed
    assert grouped.waited == plain.waited == 0


def test_two_groups_cost_two_plain_steps_and_little_more() -> None:
    plain, grouped = counted(Team(), 8, 8), counted(OneOfTwo(0, 2), 4, 16)
    assert 2 * plain.computed < grouped.computed <= 2 * plain.computed + 20


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

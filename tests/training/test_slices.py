"""Sums over a team in parts behind the backward pass: the bits of one sum after it, in one order on all workers."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from lth_ray import models
from lth_ray.config import ConfigError
from lth_ray.training import Team
from lth_ray.training.groups.gradients import Gradients
from lth_ray.training.groups.slices import parts
from tests.training.teams import together


class Noted(Team):
    """A team that notes when each sum begins."""

    def begin_add(self, values: torch.Tensor) -> Any:
        EVENTS.append(f"sum of {values.numel()}")
        return super().begin_add(values)


EVENTS: list[str] = []


def noting(output: torch.Tensor) -> None:
    output.register_hook(lambda _: EVENTS.append("the first layer's gradient"))


class Net(torch.nn.Module):
    """Has batch norm, and a parameter that no worker uses."""

    def __init__(self) -> None:
        super().__init__()
        self.spare, self.net = torch.nn.Linear(3, 3), models.build("cifar_resnet8_4", 10, seed=0)
        self.net.conv.register_forward_hook(lambda layer, inputs, output: noting(output))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


def gradients_of(team: Team, number: int, group: int) -> list[Any]:
    """Return what two steps leave: gradients, statistics and losses."""
    EVENTS.clear()
    model, found = Net(), []
    made = Gradients(model, Noted(team.rank, team.size), group, 16, number)
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        images, labels = torch.randn(16, 3, 8, 8, generator=generator), torch.arange(16) % 10
        part = slice(8 * team.rank, 8 * team.rank + 8)
        share = images[part], labels[part]
        loss, _ = made.compute(share, lambda batch, _: (F.cross_entropy(model(batch[0]), batch[1]), {}))
        held = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        found += [loss, *held, *[buffer.clone() for buffer in model.buffers()]]
    assert model.spare.weight.grad is None
    return [found, list(EVENTS)]


@pytest.mark.parametrize("group", [8, 4])
def test_parts_have_the_bits_of_one_sum_and_one_order(group: int) -> None:
    found = together(2, lambda team: [gradients_of(team, number, group) for number in (1, 5)])
    (whole, none), (sliced, events) = found[0]
    assert not any("sum" in event for event in none)
    assert all(torch.equal(one, other) for one, other in zip(whole, sliced, strict=True))
    assert found[1][1][1] == events  # the other worker's
    step = events[: len(events) // 2]
    last = len(step) - 1 - step[::-1].index("the first layer's gradient")
    sums = [place for place, event in enumerate(step) if event.startswith("sum")]
    sizes = [parameter.numel() for parameter in Net().parameters()]
    assert len(sums) == len(parts(sizes, 5)) + 1 >= 5  # statistics, with the loss, are one more
    assert sum(place < last for place in sums) >= 3  # were under way before the backward pass ended
    for worker in found:
        assert torch.equal(worker[0][0][0], whole[0])


def test_what_another_worker_does_not_use_is_told_as_after_one_sum() -> None:
    class Choosing(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.ModuleList(torch.nn.Linear(4, 4) for _ in range(6))

        def forward(self, x: torch.Tensor, left: int) -> torch.Tensor:
            for number, layer in enumerate(self.layers):
                x = layer(x) if number != left else x
            return x.square().mean()

    def work(team: Team) -> str:
        model = Choosing()
        made = Gradients(model, team, 2, 4, 3)
        share = (torch.ones(2, 4),)
        for _ in range(2):
            made.compute(share, lambda batch, _: (model(batch[0], 5 * team.rank), {}))
        try:
            made.compute(share, lambda batch, _: (model(batch[0], 3), {}))
        except ConfigError as error:
            return str(error)
        return "not told"

    assert all("layers.3.weight" in told for told in together(2, work))


@pytest.mark.parametrize(
    ("sizes", "number", "expected"),
    [
        ([1, 1, 1, 1], 2, [range(2, 4), range(0, 2)]),
        ([9, 1, 1, 1], 3, [range(0, 4)]),
        ([1, 1, 1, 9], 3, [range(3, 4), range(0, 3)]),
        ([5], 4, [range(0, 1)]),
    ],
)
def test_parts_are_neighbours_from_the_last_on(sizes: list[int], number: int, expected: list[range]) -> None:
    assert parts(sizes, number) == expected

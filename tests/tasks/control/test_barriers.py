"""The line between two policies, by hand: the games that each network on it plays, and the loss on the ends' states."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

pytest.importorskip("gymnasium", reason='games need gymnasium: pip install "lth_ray[rl]"')

from lth_ray.config import Environment, Model, Train, steps
from lth_ray.lottery.execution.bench import Bench
from lth_ray.lottery.execution.lines import line
from lth_ray.tasks import task_of
from lth_ray.training import Recipe
from tests.tasks.control.scripted import ends_by_itself


class Bold(torch.nn.Module):
    """Takes the action that is paid twice as much beyond doubt unless its weight is close to 0, where it takes the
    other; values nothing.
    """

    def __init__(self, **sizes: Any) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        bold = 1e3 * (self.weight.square() - 0.1) + 0 * observations[:, :1]
        return torch.cat([0 * bold, bold, 0 * bold], 1)


class Ends(Bench):
    """The networks with the weights 1 and -1."""

    def state(self, number: int) -> dict[str, torch.Tensor]:
        return {"weight": torch.tensor([1.0 - 2 * number])}

    def mask(self, number: int = 0) -> None:
        return None

    def covered(self, mask: Any) -> list[str]:
        return ["weight"]


def test_the_barrier_of_returns_and_that_of_the_loss_on_the_ends_states() -> None:
    """Games pay 2, 4, ... 10 to the bold and half as much to others; half-way the policy is not bold."""
    config = Environment(ends_by_itself, envs=2, horizon=4, longest=9, games=3, discount=0.5, entropy_weight=0.0)
    task = task_of(config)
    recipe = Recipe(Model(Bold), config, Train(steps(1), lr=1.0), task.identify())
    options = {"align": False, "batch_norm": "stored", "points": 5}
    table: Any = SimpleNamespace(recipe=recipe, options=options, start=None)
    found = line(Ends(table, None, task.load(), "cpu"))  # type: ignore[arg-type]
    assert [-error for error in found.columns["test_error"]] == [30, 30, 15, 30, 30]
    assert found.values["lmc_error_barrier"] == 15
    assert found.values["ends_test_error"] == -30
    returns = [7.125, 10.25, 12.5, 13.0, 10.0]
    value = 0.5 * sum(one**2 for one in returns) / 5
    policy = 100 * sum(returns) / 5  # half-way the bold action's log probability is -100
    assert found.columns["train_loss"] == pytest.approx([value, value, value + policy, value, value])
    assert found.values["lmc_train_loss_barrier"] == pytest.approx(policy)

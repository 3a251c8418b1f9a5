"""Returns and losses on an environment by hand: who is paid what, when, and for how long."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("gymnasium", reason='games need gymnasium: pip install "lth_ray[rl]"')

from lth_ray.config import Environment, Train, steps
from lth_ray.tasks import Control
from lth_ray.tasks.control.actor_critic import drawn
from lth_ray.tasks.control.rollouts import Rollouts
from tests.tasks.control.scripted import Constant, Lives, ends_by_itself, has_lives, never_ends


def declared(made: Callable[..., Any], **changes: Any) -> Environment:
    given: dict[str, Any] = {"envs": 2, "horizon": 4, "discount": 0.5, "longest": 5, "games": 4}
    return Environment(made, **{**given, **changes})


def batches(config: Environment, number: int, model: Any = None) -> list[Any]:
    stream = Rollouts(config, 1, 2)
    return [stream.batch(step, model or Constant()) for step in range(number)]


def test_a_game_that_goes_on_is_worth_its_value() -> None:
    """Steps 0 to 3 are paid 1, 2, 3, 4; the value behind them is 10 x 4."""
    ((observations, actions, returns),) = batches(declared(never_ends, longest=100), 1)
    assert observations[:, :, 0].tolist() == [[0, 1, 2, 3]] * 2
    assert actions.tolist() == [[0] * 4] * 2
    fourth = 4 + 0.5 * 40
    third = 3 + 0.5 * fourth
    second = 2 + 0.5 * third
    assert returns.tolist() == [[1 + 0.5 * second, second, third, fourth]] * 2


def test_an_end_by_itself_is_worth_nothing_more() -> None:
    """The fifth step, paid 5, is the last; the second batch begins with it."""
    _, (observations, _, returns) = batches(declared(ends_by_itself, longest=100), 2)
    assert observations[0, :, 0].tolist() == [4, 0, 1, 2]  # a new game behind it
    assert returns[0, 0] == 5
    assert returns[0, 3] == 3 + 0.5 * 30


def test_a_game_that_is_cut_off_is_worth_the_value_of_where_it_was() -> None:
    _, (observations, _, returns) = batches(declared(never_ends, longest=5), 2)
    assert observations[0, :, 0].tolist() == [4, 0, 1, 2]
    assert returns[0, 0] == 5 + 0.5 * 50  # of what it showed behind its last step, not of the next game
    assert returns[0, 3] == 3 + 0.5 * 30


@pytest.mark.parametrize("life_ends", [False, True])
def test_a_lost_life_ends_the_return_but_not_the_game(life_ends: bool) -> None:
    ((observations, _, returns),) = batches(declared(has_lives, life_ends=life_ends), 1)
    assert observations[0, :, 0].tolist() == [0, 1, 2, 3]
    fourth = 4.0 if life_ends else 4 + 0.5 * 40
    second = 2.0 if life_ends else 2 + 0.5 * (3 + 0.5 * fourth)
    assert returns[0].tolist() == [1 + 0.5 * second, second, 3 + 0.5 * fourth, fourth]


@pytest.mark.parametrize("life_ends", [False, True])
def test_a_life_that_is_lost_as_the_game_is_cut_off_ends_the_return(life_ends: bool) -> None:
    ((_, _, returns),) = batches(declared(has_lives, life_ends=life_ends, longest=4), 1)
    assert returns[0, 3] == (4.0 if life_ends else 4 + 0.5 * 40)


@pytest.mark.parametrize("life_ends", [False, True])
def test_criteria_look_at_returns_as_training_has_them(life_ends: bool) -> None:
    """Step t of a game is paid half of t x (action + 1), at most 1; a life is lost at the second and the fourth."""
    config = declared(has_lives, life_ends=life_ends, longest=5, reward_scale=0.5, reward_clip=1.0)
    task = Control(config)
    observations, actions, returns = task.evidence(task.load(), 0)
    paid = (0.5 * (observations[:, :, 0] + 1) * (actions + 1)).clamp(max=1)
    assert set(paid.flatten().tolist()) == {0.5, 1.0}
    for place in range(2):
        then = 0.0
        for step in reversed(range(paid.shape[1])):
            taken = int(observations[place, step, 0]) + 1
            ends = taken == 5 or (life_ends and taken in (2, 4))
            then = float(paid[place, step]) + (0.0 if ends else 0.5 * then)
            assert float(returns[place, step]) == pytest.approx(then)


def test_rewards_are_scaled_then_clipped_in_training_alone() -> None:
    config = declared(ends_by_itself, reward_scale=0.5, reward_clip=1.0, discount=0.0)
    stream = Rollouts(config, 1, 2)
    assert stream.batch(0, Constant())[2][0].tolist() == [0.5, 1, 1, 1]
    stream.batch(1, Constant())
    assert stream.carried["returns"][:, 0].tolist() == [15, 15]  # 1 + 2 + 3 + 4 + 5


def test_a_game_counts_once_whatever_the_horizon() -> None:
    """Games of five steps: in 40 steps of each of two places 16 games are over, and count in their order."""
    task = Control(declared(ends_by_itself))
    found = []
    for horizon in (1, 4, 8, 40):
        stream = Rollouts(declared(ends_by_itself, horizon=horizon), 1, 2)
        for step in range(40 // horizon):
            stream.batch(step, Constant())
        found.append(task.told(stream.carried))
    assert all(one == {"return": 15.0, "return_sd": 0.0, "games": 16.0} for one in found)


def test_only_the_last_hundred_games_are_told() -> None:
    config = declared(ends_by_itself, horizon=5, envs=3)
    stream = Rollouts(config, 1, 2)
    for step in range(50):  # a game of each of three places; those of the last 16 steps are paid twice as much
        stream.batch(step, Constant(action=int(step >= 34)))
    told = Control(config).told(stream.carried)
    assert told["return"] == pytest.approx((48 * 30 + 52 * 15) / 100)
    assert told["games"] == 150


def test_the_loss_is_that_of_the_paper() -> None:
    """Two steps, by hand: -log p A + .5 A^2 - .01 H, A = R - V."""
    config = declared(ends_by_itself, value_weight=0.5, entropy_weight=0.01)
    outputs = torch.tensor([[0.0, math.log(3), 2.0], [0.0, 0.0, -1.0]], requires_grad=True)
    batch = (torch.zeros(1, 2, 2), torch.tensor([[1, 0]]), torch.tensor([[5.0, 1.0]]))
    loss, told = Control(config).loss(Train(steps(1), lr=1))(lambda observations: outputs, batch)
    entropies = [-(0.25 * math.log(0.25) + 0.75 * math.log(0.75)), math.log(2)]
    policy = -(math.log(0.75) * 3 + math.log(0.5) * 2) / 2
    assert float(loss.detach()) == pytest.approx(policy + 0.5 * (9 + 4) / 2 - 0.01 * sum(entropies) / 2)
    assert float(told["entropy"]) == pytest.approx(sum(entropies) / 2)
    loss.backward()
    assert outputs.grad is not None
    assert outputs.grad[:, 2].tolist() == pytest.approx([-3 / 2, -2 / 2])  # no gradient by way of the advantage


def test_actions_are_drawn_by_their_probabilities() -> None:
    preferences = np.log(np.array([[0.2, 0.5, 0.3]])).repeat(5, 0)
    assert drawn(preferences, np.array([0.0, 0.19, 0.21, 0.69, 0.999])).tolist() == [0, 0, 1, 1, 2]
    assert drawn(np.full((1, 2), np.nan), np.array([0.5])).tolist() in ([0], [1])  # diverged: any will do


def test_lives_are_as_scripted() -> None:
    game = Lives()
    game.reset(seed=1)
    assert [game.step(0)[4]["lives"] for _ in range(6)] == [3, 2, 2, 1, 1, 0]

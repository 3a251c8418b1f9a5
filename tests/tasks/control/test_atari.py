"""Real frames of Atari: what a network is shown of them, and games that go on."""

import pytest
import torch

pytest.importorskip("ale_py", reason='Atari needs its emulator: pip install "lth_ray[atari]"')

from lth_ray.config import Environment
from lth_ray.models import build
from lth_ray.tasks.control.games import Games
from lth_ray.tasks.control.rollouts import Rollouts

BREAKOUT = Environment(
    "ALE/Breakout-v5", envs=2, horizon=6, games=2, longest=40, reward_clip=1.0, life_ends=True, scores=(2.0, 30.0)
)


def test_frames_are_grey_four_deep_and_in_0_to_1_and_the_games_go_on() -> None:
    model = build("atari_policy_2", 5, (4, 84, 84), seed=0)
    stream = Rollouts(BREAKOUT, 1, 2)
    for step in range(3):
        observations, actions, returns = stream.batch(step, model)
    assert observations.shape == (2, 6, 4, 84, 84)
    assert actions.shape == returns.shape == (2, 6)
    assert 0 <= float(observations.min()) < 0.1
    assert 0.3 < float(observations.max()) <= 1
    assert torch.equal(observations[:, 1, :3], observations[:, 0, 1:])  # the last three frames of the one before
    resumed = Rollouts(BREAKOUT, 1, 2)
    resumed.carry_on(stream.carried)
    for ours, theirs in zip(stream.batch(3, model), resumed.batch(3, model), strict=True):
        assert torch.equal(ours, theirs)


def test_a_game_that_waits_for_its_button_is_started_and_started_again() -> None:
    """Doing nothing in Breakout loses all five lives, each within some dozens of steps, as the ball is served."""
    games = Games(Environment("ALE/Breakout-v5", envs=1, horizon=1, longest=1_000), 1)
    games.begin(0, 3)
    lost = 0
    for _ in range(400):
        moves = games.step([0])
        lost += int(moves.hurt[0])
        if moves.over[0]:
            break
    assert moves.ended[0]
    assert lost == 5


def test_scores_are_told_on_a_scale() -> None:
    assert BREAKOUT.told(16.0) == 0.5
    assert BREAKOUT.metric.called == "mean score"

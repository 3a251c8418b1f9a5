"""An environment by hand: what it shows, pays and when it ends can be read off its script."""

import os
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Discrete


class Scripted(gymnasium.Env[np.ndarray, np.int64]):
    """Shows (steps taken, what reset drew); pays 1, 2, 3, ... times action + 1; ends behind its `length`-th step."""

    def __init__(self, length: int = 5) -> None:
        self.action_space, self.observation_space = Discrete(2), Box(-1e6, 1e6, (2,), np.float32)
        self.length = length

    def shown(self) -> np.ndarray:
        return np.array([self.taken, self.drawn], np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.taken, self.drawn = 0, float(self.np_random.integers(1000))
        return self.shown(), {}

    def step(self, action: Any) -> Any:
        self.taken += 1
        return self.shown(), float(self.taken * (int(action) + 1)), self.taken == self.length, False, {}


class Constant(torch.nn.Module):
    """Prefers one action beyond doubt; the value of (t, drawn) is 10 t."""

    def __init__(self, action: int = 0, actions: int = 2) -> None:
        super().__init__()
        self.weight, self.action, self.actions = torch.nn.Parameter(torch.ones(1)), action, actions

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        preferences = torch.zeros(len(observations), self.actions)
        preferences[:, self.action] = 1e3
        return torch.cat([preferences * self.weight, 10 * observations[:, :1] * self.weight], 1)


def ends_by_itself() -> gymnasium.Env[Any, Any]:
    return Scripted(5)


def never_ends() -> gymnasium.Env[Any, Any]:
    return Scripted(10**9)


class Lives(Scripted):
    """Loses one of three lives at every second step."""

    def reset(self, **given: Any) -> Any:
        shown, _ = super().reset(**given)
        return shown, {"lives": 3}

    def step(self, action: Any) -> Any:
        shown, reward, _, cut, _ = super().step(action)
        lives = 3 - self.taken // 2
        return shown, reward, lives == 0, cut, {"lives": lives}


def has_lives() -> gymnasium.Env[Any, Any]:
    return Lives()


LATE = "1000"  # so many games of LateForgetful look alike


class Forgetful(Scripted):
    """Counts its games, and shows how many, whatever the seed: played again in another it is another game.

    The count is in the process's environment, which no key looks at.
    """

    late = "0"

    def reset(self, **given: Any) -> Any:
        os.environ["GAMES"] = str(int(os.environ.get("GAMES", "0")) + 1)
        _, info = super().reset(**given)
        number = int(os.environ["GAMES"])
        self.drawn = float(number) if number > int(self.late) else 0.0
        return self.shown(), info


class LateForgetful(Forgetful):
    late = LATE


def forgets() -> gymnasium.Env[Any, Any]:
    return Forgetful()


def forgets_later() -> gymnasium.Env[Any, Any]:
    return LateForgetful()


class Failing(Scripted):
    """Raises, or pays or shows what is given, in the third step of a game of training whose seed is even."""

    def __init__(self, reward: float | None = None, seen: float | None = None) -> None:
        super().__init__()
        self.reward, self.seen = reward, seen

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.fails = seed is not None and seed > 1_000 and seed % 2 == 0
        return super().reset(seed=seed, options=options)

    def step(self, action: Any) -> Any:
        shown, reward, *rest = super().step(action)
        if self.fails and self.taken == 3:
            if self.seen is not None:
                return np.full_like(shown, self.seen), reward, *rest
            if self.reward is None:
                raise RuntimeError("the hinge is stuck")
            return shown, self.reward, *rest
        return shown, reward, *rest


def raises() -> gymnasium.Env[Any, Any]:
    return Failing()


def pays_nan() -> gymnasium.Env[Any, Any]:
    return Failing(float("nan"))


def shows_infinity() -> gymnasium.Env[Any, Any]:
    return Failing(seen=float("inf"))

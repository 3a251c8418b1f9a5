"""Whole games, played one after another by a policy: evaluations, the random policy, and states to keep."""

import atexit
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from lth_ray.config import Environment, digest, meaning, subseed
from lth_ray.data.order import draws
from lth_ray.tasks.control.actor_critic import as_learnt, discounted, drawn, parts_of
from lth_ray.tasks.control.games import Games, as_numbers
from lth_ray.tasks.control.simulators import Simulator, make

Answer = tuple[np.ndarray, np.ndarray]  # preferences [m, actions], values [m]
Ask = Callable[[np.ndarray], Answer]  # observations [m, ...] of m games -> what a policy says of them
BLOCK = 256  # draws of a game at a time


@dataclass
class Past:
    """A game so far: a row a step."""

    rewards: list[float] = field(default_factory=list)
    chances: list[float] = field(default_factory=list)  # log probability of the action taken
    entropies: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def loss(self, config: Environment, behind: float) -> float:
        """Return the mean loss of its steps, by their returns to the game's end.

        behind: the value of where it was cut off; 0 where it ended.
        """
        returns = returns_of(config, self.rewards, behind)
        advantages = returns - np.array(self.values)
        policy = -(np.array(self.chances) * advantages).mean()
        value = config.value_weight * np.square(advantages).mean()
        return float(policy + value - config.entropy_weight * np.mean(self.entropies))


@dataclass(frozen=True)
class Result:
    """One game that is over.

    total: of its rewards, each once.
    length: in steps.
    """

    total: float
    length: int
    loss: float


@dataclass
class Kept:
    """States of games, as many as `most` at most: of a longer game, or of more games, evenly fewer."""

    most: int
    states: list[tuple[np.ndarray, int, int, int]] = field(default_factory=list)  # observation, action, game, step
    every: int = 1

    def take(self, observation: np.ndarray, action: int, game: int, step: int) -> None:
        if step % self.every == 0:
            self.states.append((observation.copy(), action, game, step))
        while len(self.states) > self.most:
            self.every *= 2
            self.states = [state for state in self.states if state[3] % self.every == 0]


def returns_of(config: Environment, rewards: Sequence[float], behind: float) -> Any:
    """Return the discounted returns of a whole game's steps, of rewards as they are learnt from, float64 [T]."""
    column = as_learnt(np.array(rewards)[:, None], config)
    goes_on = np.ones(column.shape, bool)
    return discounted(column, np.zeros(column.shape), goes_on, np.array([behind]), config.discount)[:, 0]


def play(
    config: Environment, seeds: Sequence[int], ask: Ask, *, drawing: bool = True, kept: Kept | None = None
) -> tuple[list[Result], list[np.ndarray]]:
    """Play a game of each seed to its end, all side by side; return what came of each, and the returns of its steps.

    drawing: actions are drawn by their probabilities, by draws that depend on the game's seed and the step alone;
    False takes the most probable.
    kept: takes up their states.
    """
    with borrowed(config, len(seeds)) as made:
        games = Games(config, len(seeds), made)
        results: list[Result | None] = [None] * len(seeds)
        pasts, returns = [Past() for _ in seeds], [np.zeros(0) for _ in seeds]
        for place, seed in enumerate(seeds):
            games.begin(place, seed)
        playing, step = list(range(len(seeds))), 0
        uniform = np.zeros((BLOCK, len(seeds)))
        while playing:
            preferences, values = ask(games.observations[playing])
            if drawing:
                if step % BLOCK == 0:
                    for place in playing:
                        uniform[:, place] = _uniform(config, seeds[place], step // BLOCK)
                actions = drawn(preferences, uniform[step % BLOCK, playing])
            else:
                actions = preferences.argmax(1)
            logs = _log_softmax(preferences)
            chosen = [0] * len(seeds)
            for row, place in enumerate(playing):
                chosen[place] = action = int(actions[row])
                past = pasts[place]
                past.chances.append(float(logs[row, action]))
                past.entropies.append(-float((np.exp(logs[row]) * logs[row]).sum()))
                past.values.append(float(values[row]))
                if kept is not None:
                    kept.take(games.observations[place], action, place, step)
            moves = games.step(chosen, playing)
            for place in playing:
                pasts[place].rewards.append(float(moves.rewards[place]))
            over = [place for place in playing if moves.ended[place] or moves.cut[place]]
            behind = dict.fromkeys(over, 0.0)
            cut = [place for place in over if moves.cut[place]]
            if cut:
                behind |= dict(zip(cut, ask(games.observations[cut])[1].tolist(), strict=True))
            for place in over:
                past = pasts[place]
                loss = past.loss(config, behind[place])
                results[place] = Result(float(games.totals[place]), len(past.rewards), loss)
                returns[place] = returns_of(config, past.rewards, behind[place])
            playing, step = [place for place in playing if results[place] is None], step + 1
    return [result for result in results if result is not None], returns


def asking(model: Callable[..., Any], actions: int, device: torch.device) -> Ask:
    """Return what asks a network."""

    def ask(observations: np.ndarray) -> Answer:
        preferences, values = parts_of(model(torch.from_numpy(as_numbers(observations)).to(device)), actions)
        return preferences.cpu().numpy().astype(np.float64), values.cpu().numpy().astype(np.float64)

    return ask


def at_random(actions: int) -> Ask:
    """Return what takes every action with the same probability."""
    return lambda observations: (np.zeros((len(observations), actions)), np.zeros(len(observations)))


def _log_softmax(preferences: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # of a network that has diverged
        lowered = preferences - preferences.max(1, keepdims=True)
        return np.asarray(lowered - np.log(np.exp(lowered).sum(1, keepdims=True)))


def _uniform(config: Environment, seed: int, block: int) -> np.ndarray:
    words = draws(subseed(config.evaluation_seed, "actions", seed), block, BLOCK) >> np.uint64(11)
    return words * 2.0**-53


@contextmanager
def borrowed(config: Environment, number: int) -> Iterator[list[Simulator]]:
    """Give environments of evaluations, which the next one takes up again: to make them takes long."""
    key = digest("table", [meaning(config), config.called])
    made = _idle.pop(key, [])
    _idle.clear()  # of one config at a time
    made += [make(config) for _ in range(number - len(made))]
    yield made
    _idle[key] = made


_idle: dict[str, list[Simulator]] = {}
atexit.register(_idle.clear)  # while what they are made of is still there

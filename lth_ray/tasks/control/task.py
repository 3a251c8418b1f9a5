"""Games as a task (config.Environment): actor-critic learning, judged by the mean return of evaluation games."""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lth_ray.config import ConfigError, Environment, Train, meaning, subseed
from lth_ray.config.functions import own
from lth_ray.data import Identity
from lth_ray.data.batches import shared_out
from lth_ray.data.order import draws
from lth_ray.tasks.base import Batch, Evaluation, Step, Stream, Task
from lth_ray.tasks.control.actor_critic import actor_critic, as_learnt, discounted, losses, parts_of
from lth_ray.tasks.control.games import Games, as_numbers
from lth_ray.tasks.control.playing import Kept, Result, asking, at_random, play
from lth_ray.tasks.control.rollouts import SEEDS, Rollouts, acting, last_returns
from lth_ray.tasks.control.simulators import named, shape_of

PROBED = 32  # steps by which environments are told apart
STATES, GAMES_OF_STATES = 4_096, 10  # of each end of a line, on which the networks between are measured
EVIDENCE = 64  # steps of a game that a criterion looks at


@dataclass(frozen=True)
class Seeds:
    """Games of an evaluation, by their seeds, int64 [n]."""

    seeds: Tensor

    def __len__(self) -> int:
        return len(self.seeds)

    def first(self, n: int) -> "Seeds":
        return Seeds(self.seeds[:n])


@dataclass(frozen=True)
class States:
    """Steps of games that were played: observations [n, ...], actions int64 [n], returns float32 [n]."""

    observations: Tensor
    actions: Tensor
    returns: Tensor

    def __len__(self) -> int:
        return len(self.actions)


@dataclass(frozen=True)
class Ready:
    """The games to play. Training makes its own; `train` are states, where there are any."""

    train: States
    validation: Seeds | None
    test: Seeds
    digest: str
    device: str
    processes: int = 0  # that play the games of training


class Control(Task[Environment]):
    """The games of an environment. An evaluation's batch is the games' seeds, [n]; or states that were kept."""

    carries = True

    def check(self, train: Train) -> None:
        if train.label_smoothing:
            raise ConfigError(
                f"Train.label_smoothing = {train.label_smoothing}: games have no labels; leave it out, or raise "
                "Environment.entropy_weight"
            )

    def identify(self, data_root: str | Path | None = None) -> Identity:
        shape, actions, found = _probed(_Known(self.config))
        return Identity(found, 0, self.config.validation, self.config.games, shape, actions + 1)

    def load(self, data_root: str | Path | None = None, device: str | torch.device = "cpu", loaders: int = 0) -> Ready:
        _, _, found = _probed(_Known(self.config))
        config, nothing = self.config, torch.zeros(0)
        held_out = _seeds(config, "validation", config.validation) if config.validation else None
        nothing_yet, tested = States(nothing, nothing, nothing), _seeds(config, "test", config.games)
        return Ready(nothing_yet, held_out, tested, found, str(device), loaders)

    def stream(self, loaded: Ready, order_seed: int, augmentation_seed: int, part: range | None = None) -> Stream:
        return Rollouts(self.config, order_seed, augmentation_seed, part, loaded.processes)

    def splits(self, loaded: Ready) -> Mapping[str, Seeds]:
        found = {"validation": loaded.validation, "test": loaded.test}
        return {name: part for name, part in found.items() if part is not None}

    def examples(self, loaded: Ready, split: Seeds | States, share: tuple[int, int] = (0, 1)) -> Iterator[Batch]:
        """Yield seeds of games that are played side by side; or (observations, actions, returns) of states."""
        mine = shared_out(len(split), share)
        size = self.config.envs if isinstance(split, Seeds) else 1_024
        for start in range(mine.start, mine.stop, size):
            stop = min(start + size, mine.stop)
            if isinstance(split, Seeds):
                yield (split.seeds[start:stop].to(loaded.device),)
            else:
                observations = torch.from_numpy(as_numbers(split.observations[start:stop].numpy())).to(loaded.device)
                yield (
                    observations,
                    split.actions[start:stop].to(loaded.device),
                    split.returns[start:stop].to(loaded.device),
                )

    def evidence(self, loaded: Ready, order: int, number: int = 0) -> Batch:
        """Return steps of games that every action is as likely in, [envs, EVIDENCE, ...]; returns end with them."""
        config = self.config
        seeds = [subseed(order, "evidence", number, place) % SEEDS for place in range(config.envs)]
        found = [_steps_at_random(config, seed, EVIDENCE) for seed in seeds]
        observations, actions, returns = (np.stack(parts) for parts in zip(*found, strict=True))
        given = torch.from_numpy(as_numbers(observations)), torch.from_numpy(actions), torch.from_numpy(returns)
        return tuple(tensor.to(loaded.device) for tensor in given)

    def loss(self, train: Train) -> Step:
        return actor_critic(self.config)

    def caller(self, model: Callable[..., Any]) -> Callable[[Batch], Any]:
        """Return what plays the games of a batch to their ends; or asks the network of a batch's states."""
        actions, drawing = _probed(_Known(self.config))[1], self.config.evaluation == "sampled"

        def call(batch: Batch) -> Any:
            if len(batch) > 1:
                return model(batch[0])
            return play(self.config, batch[0].tolist(), asking(model, actions, batch[0].device), drawing=drawing)[0]

        return call

    def sums(self, outputs: Any, batch: Batch) -> Tensor:
        """Return [sum of losses, of returns, of squared returns, of games' lengths, units].

        Of states there are no returns of games: they are NaN.
        """
        if len(batch) > 1:
            preferences, values = parts_of(outputs, outputs.shape[1] - 1)
            loss, _ = losses(preferences, values, batch[1], batch[2], self.config)
            n, nan = len(batch[1]), math.nan
            return torch.tensor([float(loss) * n, nan, nan, nan, n], dtype=torch.float64, device=batch[0].device)
        found: list[Result] = outputs
        told = [self.config.told(one.total) for one in found]
        rows = [[one.loss, total, total**2, one.length, 1] for one, total in zip(found, told, strict=True)]
        return torch.tensor(rows, dtype=torch.float64, device=batch[0].device).sum(0)

    def evaluation(self, sums: Tensor) -> Evaluation:
        loss, total, squares, lengths, n = sums.tolist()
        if math.isnan(total):
            return Evaluation(loss / n, math.nan, int(n))
        spread = math.sqrt(max(0.0, squares - total**2 / n) / (n - 1)) if n > 1 else math.nan
        return Evaluation(loss / n, total / n, int(n), {"return_sd": spread, "length": lengths / n})

    def told(self, carried: Mapping[str, Tensor]) -> Mapping[str, float]:
        """Return the mean return of the last 100 games of training with its standard deviation, and their number."""
        if not carried:
            return {}
        last = self.config.told(last_returns(carried))
        mean, spread = (float(last.mean()), float(last.std(ddof=1))) if len(last) > 1 else (math.nan, math.nan)
        return {"return": mean, "return_sd": spread, "games": float(carried["played"].sum())}

    def between(self, loaded: Ready, ends: Iterable[torch.nn.Module]) -> Ready:
        """Return the same with states of games that the two ends play, which the loss on a line is measured on."""
        kept = [_kept_states(self.config, model) for model in ends]
        found = States(*(torch.cat(parts) for parts in zip(*kept, strict=True)))
        return replace(loaded, train=found)

    def example(self, identity: Identity) -> tuple[Tensor]:
        return (torch.zeros(1, *identity.input_shape),)

    def examples_a_step(self, identity: Identity) -> int:
        return self.config.envs * self.config.horizon

    def chance(self, identity: Identity) -> float:
        """Return the mean return of a policy to which all actions are alike, in the games of the test set."""
        return _random_return(_Known(self.config))


class _Known:
    """A config, by what it means, so that what is found of it is found once a process."""

    def __init__(self, config: Environment) -> None:
        self.config = config
        name = own(config.name).meaning("Environment.name", True, config.version) if callable(config.name) else ""
        self.text = json.dumps([meaning(config), name], sort_keys=True)

    def __hash__(self) -> int:
        return hash(self.text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Known) and other.text == self.text


def _seeds(config: Environment, name: str, number: int) -> Seeds:
    drawn = [subseed(config.evaluation_seed, name, game) % SEEDS for game in range(number)]
    return Seeds(torch.tensor(drawn, dtype=torch.int64))


@lru_cache(maxsize=64)
def _probed(known: _Known) -> tuple[tuple[int, ...], int, str]:
    """Return (an observation's shape, the number of actions, a digest of what a few steps come to).

    Raise ConfigError for an environment whose steps come to something else each time.
    """
    first, again = (_trace(known.config) for _ in range(2))
    if first != again:
        raise ConfigError(
            f"{named(known.config)}: the same seed and the same actions come to other observations or rewards each "
            "time; draw all that is left to chance from the seed that reset(seed=...) is given"
        )
    shape, actions, steps = first
    config = known.config
    called = config.name if isinstance(config.name, str) else known.text
    text = json.dumps([called, dict(config.options), config.longest, shape, actions, steps], default=str)
    return shape, actions, hashlib.sha256(text.encode()).hexdigest()


def _trace(config: Environment) -> tuple[tuple[int, ...], int, str]:
    """Play some steps. Observations count to three digits, as processors differ in the last ones."""
    games = Games(config, 1)
    actions = games.number_of_actions
    found = hashlib.sha256()
    chosen = (draws(0, 0, PROBED) >> np.uint64(11)) * 2.0**-53
    games.begin(0, 0)
    for at, share in enumerate(chosen):
        found.update((np.round(games.observations.astype(np.float64), 3) + 0.0).tobytes())
        moves = games.step([int(share * actions)])
        found.update(f"{moves.rewards[0]:.3f} {moves.ended[0]} {moves.cut[0]} ".encode())
        if moves.over[0]:
            games.begin(0, at + 1)
    games.close()
    return shape_of(games.simulators[0]), actions, found.hexdigest()


@lru_cache(maxsize=64)
def _random_return(known: _Known) -> float:
    """Return the mean return of a policy to which all actions are alike, in the games of the test set."""
    config, (_, actions, _) = known.config, _probed(known)
    seeds = _seeds(config, "test", config.games).seeds.tolist()
    parts = [seeds[start : start + config.envs] for start in range(0, len(seeds), config.envs)]
    found = [result for part in parts for result in play(config, part, at_random(actions))[0]]
    return float(np.mean([config.told(result.total) for result in found]))


def _steps_at_random(config: Environment, seed: int, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Play steps by drawn actions; a game that is over is followed by another.

    Return observations, actions and returns, of rewards as training has them.
    """
    games = Games(config, 1)
    count = int(games.simulators[0].action_space.n)
    actions = (((draws(seed, 0, number) >> np.uint64(11)) * 2.0**-53) * count).astype(np.int64)
    seen, rewards, goes_on = [], np.zeros((number, 1)), np.ones((number, 1), bool)
    games.begin(0, seed)
    for at, action in enumerate(actions.tolist()):
        seen.append(games.observations[0].copy())
        moves = games.step([action])
        rewards[at], goes_on[at] = moves.rewards, ~(moves.ended_as_learnt(config) | moves.cut)
        if moves.over[0]:
            games.begin(0, subseed(seed, "next", at) % SEEDS)
    games.close()
    returns = discounted(as_learnt(rewards, config), np.zeros((number, 1)), goes_on, np.zeros(1), config.discount)
    return np.stack(seen), actions, returns[:, 0].astype(np.float32)


def _kept_states(config: Environment, model: torch.nn.Module) -> tuple[Tensor, Tensor, Tensor]:
    """Return states of games that a network plays as it does in training: observations, actions, returns."""
    kept, actions = Kept(STATES), _probed(_Known(config))[1]
    seeds = _seeds(config, "states", min(config.games, GAMES_OF_STATES)).seeds.tolist()
    with acting(model):
        _, returns = play(config, seeds, asking(model, actions, next(model.parameters()).device), kept=kept)
    observations = np.stack([state[0] for state in kept.states])
    chosen = torch.tensor([state[1] for state in kept.states], dtype=torch.int64)
    learnt = [returns[game][step] for _, _, game, step in kept.states]
    return torch.from_numpy(observations), chosen, torch.tensor(learnt, dtype=torch.float32)

"""Games side by side in this process, each of which is known by its seed and the actions since."""

import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lth_ray.config import ConfigError, Environment
from lth_ray.config.blame import in_one_line
from lth_ray.tasks.control.simulators import Simulator, make, named, shape_of, stored_as


@dataclass(frozen=True)
class Moves:
    """One step of several games.

    rewards: float64 [n], the environment's own.
    ended: bool [n], games that ended by themselves.
    cut: bool [n], games that were cut off by a limit.
    hurt: bool [n], games in which a life was lost.
    """

    rewards: np.ndarray
    ended: np.ndarray
    cut: np.ndarray
    hurt: np.ndarray

    @property
    def over(self) -> np.ndarray:
        """The games that are over: bool [n], True for each."""
        return np.asarray(self.ended | self.cut)

    def ended_as_learnt(self, config: Environment) -> np.ndarray:
        """Return where what is paid from then on does not count in training: bool [n], True for each such game."""
        return np.asarray(self.ended | self.hurt) if config.life_ends else self.ended


Again = tuple[int, Sequence[int], int]  # a game's seed, its actions so far, and what `mark` gave of it then


class Games:
    """A number of games of an environment. Before it is played each is begun with a seed.

    observations: what each shows now, [n, ...].
    seeds, actions: of each game, the latter since it began.
    totals: float64 [n], the rewards of each game so far.
    """

    def __init__(self, config: Environment, number: int, made: Sequence[Simulator] = ()) -> None:
        self.config = config
        self.simulators = [*made[:number], *(make(config) for _ in range(number - len(made)))]
        first = self.simulators[0]
        self.observations = np.zeros((number, *shape_of(first)), stored_as(first))
        self.lowest, self.number_of_actions = int(first.action_space.start), int(first.action_space.n)
        self.seeds = [0] * number
        self.actions: list[list[int]] = [[] for _ in range(number)]
        self.totals = np.zeros(number)
        self.lives = [0] * number

    def __len__(self) -> int:
        return len(self.simulators)

    def begin(self, place: int, seed: int) -> None:
        """Begin a new game at a place. Errors: as of `step`."""
        self.seeds[place], self.actions[place], self.totals[place] = seed, [], 0.0
        try:
            observation, info = self.simulators[place].reset(seed=seed)
        except Exception as error:
            raise self._failed(place, error) from error
        self.observations[place] = observation
        self._check_shown()
        self.lives[place] = int(info.get("lives", 0))

    def step(self, actions: Sequence[int], places: Iterable[int] | None = None) -> Moves:
        """Take one action of each game, or of those at `places` alone. A game that is over has to be begun anew.

        Errors: ConfigError for an environment that raises, or that pays or shows what is no finite number.
        """
        number = len(self.simulators)
        rewards, (ended, cut, hurt) = np.zeros(number), np.zeros((3, number), bool)
        for place in range(number) if places is None else places:
            action = actions[place]
            self.actions[place].append(action)
            try:
                found = self.simulators[place].step(action + self.lowest)
                observation, reward, ended[place], cut[place], info = found
                rewards[place] = reward
                self.observations[place] = observation
            except Exception as error:
                raise self._failed(place, error) from error
            if not math.isfinite(rewards[place]):
                raise ConfigError(
                    f"{self._whose(place)} gives the reward {reward}; mend the environment: rewards are finite numbers"
                )
            if self.lives[place] or info:
                lives = int(info.get("lives", 0))
                hurt[place], self.lives[place] = lives < self.lives[place], lives
        self._check_shown()
        self.totals += rewards
        return Moves(rewards, ended, cut & ~ended, hurt)

    def begin_all(self, seeds: Mapping[int, int]) -> None:
        """Begin new games: {place: seed}."""
        for place, seed in seeds.items():
            self.begin(place, seed)

    def replay_all(self, games: Mapping[int, Again]) -> None:
        """Play games again up to where they were."""
        for place, game in games.items():
            self.replay(place, *game)

    def close(self) -> None:
        """End the environments."""
        for simulator in self.simulators:
            simulator.close()

    def replay(self, place: int, seed: int, actions: Sequence[int], mark: int) -> None:
        """Play a game again up to where it was.

        mark: what `mark` gave of its observation there. Raise ConfigError where it comes to another.
        """
        self.begin(place, seed)
        for action in actions:
            over = self.step([action] * len(self), [place]).over[place]
            if over and len(self.actions[place]) < len(actions):
                break
        if self.mark(place) != mark or len(self.actions[place]) != len(actions):
            raise ConfigError(
                f"{named(self.config)}: a game, played again by its seed ({seed}) and its {len(actions)} actions, "
                "comes to another observation than before: the environment is not deterministic, or not the one that "
                "it was. "
                "Draw all that is left to chance in it from the seed that reset(seed=...) is given, in each game anew; "
                "what was trained up to the last checkpoint is kept"
            )

    def mark(self, place: int) -> int:
        """Return a checksum of what a game shows."""
        return mark_of(self.observations[place])

    def _check_shown(self) -> None:
        if self.observations.dtype != np.uint8 and not np.isfinite(self.observations).all():
            place = int(np.argmin(np.isfinite(self.observations).reshape(len(self), -1).all(1)))
            raise ConfigError(
                f"{self._whose(place)} shows what is no finite number; mend the environment: a network learns nothing "
                "from NaN or infinity"
            )

    def _whose(self, place: int) -> str:
        return f"{named(self.config)}: step {len(self.actions[place])} of the game with seed {self.seeds[place]}"

    def _failed(self, place: int, error: Exception) -> ConfigError:
        return ConfigError(
            f"{self._whose(place)} fails: {in_one_line(error)}; mend the environment, and run the study again: it goes "
            "on from its last checkpoint"
        )


def mark_of(observation: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(observation).data)


def as_numbers(observations: np.ndarray) -> np.ndarray:
    """Return observations as the float32 numbers that a network is given: those of bytes in [0, 1]."""
    if observations.dtype == np.uint8:
        return np.asarray(np.multiply(observations, np.float32(1 / 255), dtype=np.float32))
    return observations

"""On-policy batches: steps of games that are played by the weights that are to learn from them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from lth_ray.config import Environment, subseed
from lth_ray.data.batches import checked_part
from lth_ray.data.order import draws
from lth_ray.tasks.base import Batch
from lth_ray.tasks.control.actor_critic import as_learnt, discounted, drawn, parts_of
from lth_ray.tasks.control.apart import Apart
from lth_ray.tasks.control.games import Games, as_numbers

REMEMBERED = 100  # games of training whose returns are told
SEEDS = 2**31  # seeds of games are below this, which every environment takes


class Rollouts:
    """Batches of the next steps of some games: (observations [B, T, ...], actions int64 [B, T], returns [B, T]).

    The game that begins at a place of the batch at step t of all its steps has a seed that depends on the order's seed,
    the place and t alone, and a step's draws on the augmentation's seed, the place and t.

    part: the places of the global batch that are taken; None for all.
    processes: that play the games; 0 plays them in this one.
    """

    steps_per_epoch = 0

    def __init__(
        self, config: Environment, order: int, augmentation: int, part: range | None = None, processes: int = 0
    ) -> None:
        self.config, self.part = config, checked_part(part, config.envs)
        self.seeds = order, subseed(augmentation, "actions")
        number = len(self.part)
        self.games = Apart(config, number, processes) if processes else Games(config, number)
        self.number = self.games.number_of_actions
        self.next: int | None = None  # the step whose batch the games have come to; None where they are yet to begin
        self.resumed = self.tried = False
        self.returns = np.zeros((len(self.part), REMEMBERED))  # of each place's last games ...
        self.ends = np.full((len(self.part), REMEMBERED), -1, np.int64)  # ... which were over behind these steps
        self.played = np.zeros(len(self.part), np.int64)

    def batch(self, step: int, model: torch.nn.Module | None = None) -> Batch:
        """Play the steps of a batch, and return them."""
        assert model is not None, "who plays?"
        if self.resumed:
            self.next, self.resumed = step, False
        if self.next != step:  # training begins here
            self._begin_all(step)
        config, games, device = self.config, self.games, next(model.parameters()).device
        horizon, size = config.horizon, len(self.part)
        uniform = self._uniform(step)
        seen = np.empty((horizon, size, *games.observations.shape[1:]), games.observations.dtype)
        actions = np.empty((horizon, size), np.int64)
        rewards, (goes_on, cut) = np.empty((horizon, size)), np.empty((2, horizon, size), bool)
        left = []  # what games showed when they were cut off, if what comes then counts
        with acting(model):
            for t in range(horizon):
                seen[t] = games.observations
                preferences, _ = self._asked(model, seen[t], device)
                actions[t] = drawn(preferences.cpu().numpy(), uniform[t])
                moves = games.step(actions[t].tolist())
                ended = moves.ended_as_learnt(config)
                rewards[t], goes_on[t], cut[t] = moves.rewards, ~(ended | moves.cut), moves.cut & ~ended
                left += [games.observations[place].copy() for place in cut[t].nonzero()[0]]
                self._end_all(moves.over.nonzero()[0].tolist(), step * horizon + t + 1)
            behind = np.concatenate([games.observations, np.stack(left)]) if left else games.observations
            _, values = self._asked(model, behind, device)
        values_there = values.double().cpu().numpy()
        after = np.zeros((horizon, size))
        after[cut] = values_there[size:]
        returns = discounted(as_learnt(rewards, config), after, goes_on, values_there[:size], config.discount)
        self.next = step + 1

        def of_places(array: np.ndarray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array.swapaxes(0, 1))).to(device)

        return of_places(as_numbers(seen)), of_places(actions), of_places(returns.astype(np.float32))

    @property
    def carried(self) -> Mapping[str, Tensor]:
        """The state of the games that are under way, a row a place: their seeds and actions; and past games' returns.

        At the first time a game is played again, so that an environment in which that comes to something else is
        found before anything relies on it.
        """
        games, lengths = self.games, [len(actions) for actions in self.games.actions]
        if self.next is None:
            return {}
        if not self.tried:
            self.tried, place = True, int(np.argmax(lengths))
            once = Games(self.config, 1)
            once.replay(0, games.seeds[place], games.actions[place], games.mark(place))
            once.close()
        actions = np.zeros((len(games), max(1, *lengths)), np.int32)
        for row, taken in zip(actions, games.actions, strict=True):
            row[: len(taken)] = taken
        return {
            "seed": torch.tensor(games.seeds, dtype=torch.int64),
            "length": torch.tensor(lengths, dtype=torch.int64),
            "actions": torch.from_numpy(actions),
            "mark": torch.tensor([games.mark(place) for place in range(len(games))], dtype=torch.int64),
            "returns": torch.from_numpy(self.returns.copy()),
            "ends": torch.from_numpy(self.ends.copy()),
            "played": torch.from_numpy(self.played.copy()),
        }

    def carry_on(self, carried: Mapping[str, Tensor]) -> None:
        """Play the games again up to where they were."""
        known = {name: tensor.cpu().numpy() for name, tensor in carried.items()}
        taken = [row[:length].tolist() for row, length in zip(known["actions"], known["length"].tolist(), strict=True)]
        again = zip(known["seed"].tolist(), taken, known["mark"].tolist(), strict=True)
        self.games.replay_all(dict(enumerate(again)))
        self.returns, self.ends, self.played = (known[name].copy() for name in ("returns", "ends", "played"))
        self.resumed = self.tried = True

    def close(self) -> None:
        """End the environments."""
        self.games.close()

    def _begin_all(self, step: int) -> None:
        self.returns[:], self.ends[:], self.played[:] = 0.0, -1, 0
        self._begin(range(len(self.part)), step * self.config.horizon)

    def _begin(self, places: Iterable[int], at: int) -> None:
        first = self.part.start
        self.games.begin_all({one: subseed(self.seeds[0], "game", first + one, at) % SEEDS for one in places})

    def _end_all(self, places: Sequence[int], at: int) -> None:
        for place in places:
            oldest = int(self.ends[place].argmin())
            self.returns[place, oldest], self.ends[place, oldest] = self.games.totals[place], at
            self.played[place] += 1
        if places:
            self._begin(places, at)

    def _uniform(self, step: int) -> np.ndarray:
        """Return the draws of a step's batch for this part's places, float64 [T, B] in [0, 1)."""
        words = draws(self.seeds[1], step, self.config.horizon * self.config.envs) >> np.uint64(11)
        whole = words.reshape(self.config.horizon, self.config.envs) * 2.0**-53
        return np.asarray(whole[:, self.part.start : self.part.stop])

    def _asked(self, model: torch.nn.Module, seen: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
        return parts_of(model(torch.from_numpy(as_numbers(seen)).to(device)), self.number)


@contextmanager
def acting(model: torch.nn.Module) -> Iterator[None]:
    """Ask a network without gradients, as in evaluation, and leave it in its mode."""
    was_training = model.training
    if was_training:
        model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        if was_training:
            model.train()


def last_returns(carried: Mapping[str, Tensor]) -> np.ndarray:
    """Return the returns of the last games of training that were over, at most REMEMBERED, the newest last."""
    ends, returns = (carried[name].cpu().numpy() for name in ("ends", "returns"))
    order = np.lexsort((np.arange(ends.size), ends.ravel()))[-REMEMBERED:]
    there = ends.ravel()[order] >= 0
    return np.asarray(returns.ravel()[order][there])

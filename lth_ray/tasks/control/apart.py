"""Games in processes of their own, each of which plays some of the places: for simulators that take long.

The games are those that one process would play: what a game comes to depends on its seed and its actions alone.
"""

import multiprocessing
from collections.abc import Mapping, Sequence
from itertools import pairwise
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from lth_ray.config import ConfigError, Environment
from lth_ray.tasks.control.games import Again, Games, Moves, mark_of
from lth_ray.tasks.control.packages import needed


class Apart:
    """As `Games`, played by other processes, which end with this one."""

    def __init__(self, config: Environment, number: int, processes: int) -> None:
        # Forking a process with threads, as Ray's workers have, may hang; a fork server imports numpy once.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        bounds = np.linspace(0, number, min(processes, number) + 1).astype(int).tolist()
        self.parts = [range(first, last) for first, last in pairwise(bounds)]
        sent = needed("cloudpickle", "rl").dumps(config)  # one's own function may be the study's script's
        self.pipes: list[Connection] = []
        self.processes = []
        for part in self.parts:
            ours, theirs = context.Pipe()
            process = context.Process(target=serve, args=(theirs, sent, len(part)), daemon=True)
            process.start()
            theirs.close()
            self.pipes.append(ours)
            self.processes.append(process)
        (first, self.number_of_actions), *_ = [self._answer(pipe) for pipe in self.pipes]
        self.observations = np.zeros((number, *first.shape[1:]), first.dtype)
        self.seeds, self.totals = [0] * number, np.zeros(number)
        self.actions: list[list[int]] = [[] for _ in range(number)]

    def __len__(self) -> int:
        return len(self.seeds)

    def begin_all(self, seeds: Mapping[int, int]) -> None:
        asked = [{place - part.start: seeds[place] for place in part if place in seeds} for part in self.parts]
        for place, seed in seeds.items():
            self.seeds[place], self.actions[place], self.totals[place] = seed, [], 0.0
        self._shown(self._ask("begin_all", asked))

    def step(self, actions: Sequence[int]) -> Moves:
        answers = self._ask("step", [list(actions[part.start : part.stop]) for part in self.parts])
        for taken, action in zip(self.actions, actions, strict=True):
            taken.append(action)
        self._shown(answers)
        moves = [answer[1] for answer in answers if answer is not None]
        names = ("rewards", "ended", "cut", "hurt")
        found = Moves(*(np.concatenate([getattr(one, name) for one in moves]) for name in names))
        self.totals += found.rewards
        return found

    def replay_all(self, games: Mapping[int, Again]) -> None:
        asked = [{place - part.start: games[place] for place in part if place in games} for part in self.parts]
        answers = self._ask("replay_all", asked)
        self._shown(answers)
        for part, answer in zip(self.parts, answers, strict=True):
            if answer is not None:
                self.totals[part.start : part.stop] = answer[2]
        for place, (seed, actions, _) in games.items():
            self.seeds[place], self.actions[place] = seed, list(actions)

    def mark(self, place: int) -> int:
        return mark_of(self.observations[place])

    def close(self) -> None:
        """End the processes."""
        for pipe in self.pipes:
            pipe.close()
        for process in self.processes:
            process.join(5)

    def _ask(self, what: str, asked: Sequence[Any]) -> list[Any]:
        """Ask each process for its part, all at once; None of those that there is nothing to ask."""
        for pipe, one in zip(self.pipes, asked, strict=True):
            if one:
                self._send(pipe, (what, one))
        return [self._answer(pipe) if one else None for pipe, one in zip(self.pipes, asked, strict=True)]

    def _shown(self, answers: Sequence[Any]) -> None:
        for part, answer in zip(self.parts, answers, strict=True):
            if answer is not None:
                self.observations[part.start : part.stop] = answer[0]

    def _send(self, pipe: Connection, message: Any) -> None:
        try:
            pipe.send(message)
        except OSError as error:
            raise _lost() from error

    def _answer(self, pipe: Connection) -> Any:
        try:
            kind, found = pipe.recv()
        except (EOFError, OSError) as error:
            raise _lost() from error
        if kind == "error":
            raise ConfigError(found)
        return found


def _lost() -> RuntimeError:
    return RuntimeError(
        "a process that plays games is gone (killed, or out of memory); run the study again, which goes on from the "
        "last checkpoint, with fewer --loaders where memory is short"
    )


def serve(pipe: Connection, sent: bytes, number: int) -> None:
    """Play games for another process until it is gone."""
    try:
        games = Games(needed("cloudpickle", "rl").loads(sent), number)
        pipe.send(("there", (games.observations, games.number_of_actions)))
        while True:
            what, asked = pipe.recv()
            found = getattr(games, what)(asked)
            pipe.send(("there", (games.observations, found, games.totals)))
    except ConfigError as error:
        pipe.send(("error", str(error)))
    except (EOFError, OSError, KeyboardInterrupt):
        return

"""A run's notices: an actor that asks every training for a checkpoint, hears how far each is, and hands on what workers
have done.

Notice is given when the driver is told to end, and when a node is about to be preempted.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lth_ray.running.machine.unpublished import draining_nodes

POLL_S = 1.0
WAIT_S = 20.0  # what a driver that was told to end gives the last checkpoints
SILENT_S = 15.0  # a training that has not asked for so long was killed; one that ends says so


@ray.remote(num_cpus=0)
class Notices:
    """The actor; it lives as long as its driver."""

    def __init__(self) -> None:
        self.count = 0
        self.asked: dict[str, float] = {}
        self.steps: dict[str, int | None] = {}
        self.beside: dict[str, tuple[str, ...]] = {}
        self.answered: dict[str, int] = {}
        self.outcomes: dict[str, Any] = {}
        self.failures: dict[str, str] = {}
        self.needed: dict[str, tuple[str, float]] = {}

    def give(self) -> None:
        self.count += 1

    def read(self, reader: str, step: int | None = None, beside: tuple[str, ...] = ()) -> int:
        """Return how many notices were given so far.

        step: where the training that asks is.
        beside: those that take their steps with it.
        """
        self.asked[reader] = time.monotonic()
        self.needed.pop(reader, None)
        self.steps[reader], self.beside[reader] = step, beside
        return self.count

    def at_work(self) -> dict[str, int | None]:
        """Return {training at work: its step, once it has begun}."""
        return {key: self.steps.get(reader) for reader in self._live() for key in (reader, *self.beside[reader])}

    def answer(self, reader: str, count: int) -> None:
        """Take in that a training has a checkpoint in storage that it took after it had read `count` notices."""
        self.answered[reader] = count

    def leave(self, reader: str) -> None:
        self.asked.pop(reader, None)
        self.steps.pop(reader, None)
        self.beside.pop(reader, None)

    def need(self, key: str, what: str) -> None:
        """Take in that the piece `key` is to be done by workers that ask for `what`; it has them when it
        reads notices.
        """
        self.needed[key] = what, time.time()

    def needs(self) -> dict[str, tuple[str, float]]:
        """Return {key: what its workers ask for, and since when}, of those that have not begun."""
        return dict(self.needed)

    def post(self, key: str, outcome: Any) -> None:
        """Take in that workers have done the piece `key`."""
        self.outcomes[key] = outcome

    def fail(self, key: str, why: str) -> None:
        """Take in that the piece `key` cannot be done."""
        self.failures[key] = why

    def failure(self, key: str) -> str | None:
        return self.failures.get(key)

    def take(self, key: str) -> Any:
        """Return what was posted of a piece, once; None where that is nothing yet."""
        return self.outcomes.pop(key, None)

    def awaited(self) -> int:
        """Return the trainings at work that have not answered the last notice."""
        return sum(self.answered.get(reader, 0) < self.count for reader in self._live())

    def _live(self) -> list[str]:
        now = time.monotonic()
        return [reader for reader, at in self.asked.items() if now - at < SILENT_S]


def made_here() -> Any:
    """Return notices on this very node, that it is not lost with another: Ray puts what takes no resources
    anywhere.
    """
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return Notices.options(scheduling_strategy=here, max_restarts=-1).remote()  # type: ignore[attr-defined]


class Reader:
    """A training's view of the notices: `count` is read at every step and so is kept up by a thread.

    step: gives the step that training is at, which they are told with each question; None before it has
        begun.
    """

    def __init__(self, notices: Any, name: str, beside: tuple[str, ...] = ()) -> None:
        self.notices, self.name, self.beside, self.count = notices, name, beside, 0
        self.step: Callable[[], int | None] = lambda: None
        self._done = threading.Event()

    def answer(self) -> None:
        """Tell the notices that a checkpoint is in storage."""
        if self.count:
            self.notices.answer.remote(self.name, self.count)

    @contextmanager
    def reading(self) -> Iterator["Reader"]:
        thread = threading.Thread(target=self._read, name="lth_ray-notices", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._done.set()
            self.notices.leave.remote(self.name)

    def _read(self) -> None:
        while not self._done.is_set():
            with suppress(Exception):  # without them there is nobody to be told anything: training goes on
                self.count = ray.get(self.notices.read.remote(self.name, self.step(), self.beside), timeout=10 * POLL_S)
            self._done.wait(POLL_S)


def last_checkpoints(notices: Any, sleep: Callable[[float], None] = time.sleep) -> None:
    """Give notice and wait until every training has a checkpoint, WAIT_S at most."""
    deadline = time.monotonic() + WAIT_S

    def left() -> float:  # on a busy machine the actor itself may take seconds to answer
        return max(0.1, deadline - time.monotonic())

    try:
        ray.get(notices.give.remote(), timeout=left())
        while time.monotonic() < deadline and ray.get(notices.awaited.remote(), timeout=left()):
            sleep(0.1)
    except Exception:  # the cluster is gone: what was written before is what there is
        return


class Draining:
    """A watch for nodes that are being drained: what Ray is told by clouds and autoscalers of a preemption."""

    def __init__(self) -> None:
        self.known: set[str] = set()

    def news(self) -> bool:
        """Return whether a node began to be drained since the last time this was asked."""
        now = draining_nodes()
        fresh = now - self.known
        self.known = now
        return bool(fresh)

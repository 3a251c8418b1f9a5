"""A guard that a run does not wait for what will never come: a thread of the driver that looks every few
seconds.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import ray

from lth_ray.running.machine import rooms
from lth_ray.running.machine.signals import AT_ONCE, Signals
from lth_ray.running.machine.unpublished import own_node
from lth_ray.running.watch import HALTED, Halted
from lth_ray.watching.progress import Board
from lth_ray.watching.snapshot import duration

LOOK_S = 2.0
CONNECT_S = 5.0
SILENT_S = 20.0  # after which a head that takes no connections is lost; Ray itself ends its drivers after 60
REST_S = 10.0  # that a look which has begun is given to end
LEAVE_S = 20.0  # that a driver which was halted has to put everything down
KILLED = "the kernel kills it where memory runs out"


Needs = Callable[[], Mapping[str, rooms.Wait]]


class Stall:
    """A watch for a stall: nothing has moved within `after_s`.

    A move is a piece finished or ended, a step of a training, or a measurement, which has no steps, at work.
    """

    def __init__(self, after_s: float, now: float) -> None:
        self.after_s, self.moved = after_s, now
        self._count, self._steps = 0, dict[str, int]()

    def look(self, count: int, steps: Mapping[str, int | None], measuring: bool, now: float) -> float | None:
        """Return the seconds since something moved, where those are too many.

        count: of pieces that are finished or given up.
        """
        heard = {key: step for key, step in steps.items() if step is not None}
        if count != self._count or measuring or any(self._steps.get(key) != step for key, step in heard.items()):
            self.moved = now
        self._count, self._steps = count, self._steps | heard
        return now - self.moved if 0 < self.after_s <= now - self.moved else None


class Guard:
    """A guard that frees the room of lost processes, says what waits for room, and halts a run that cannot go
    on.

    A run cannot go on when it has lost its Ray, or when nothing in it moves.

    stall_s: how long that may be; 0 for ever.
    """

    def __init__(self, board: Board, signals: Signals, stall_s: float) -> None:
        self.board, self.signals = board, signals
        self.needs: Needs = dict
        self._heard = time.monotonic()
        self.stall = Stall(stall_s, time.monotonic())
        self._resting, self._done = threading.Event(), threading.Event()
        self._looking = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="lth_ray-guard", daemon=True)

    def start(self, needs: Needs) -> None:
        """Begin, once Ray is there.

        needs: gives the room that trials have asked for and have not, by job; it is shown while Ray has
            requests that wait.
        """
        self.needs = needs
        self._thread.start()

    def rest(self) -> None:
        """Stop looking, before Ray is shut down, which from then on is no loss.

        A look that has begun is waited for: Ray ends a process that asks it anything after that.
        """
        self._resting.set()
        if self._looking.acquire(timeout=REST_S):
            self._looking.release()

    def __enter__(self) -> "Guard":
        return self

    def __exit__(self, *_: object) -> None:
        """End: the driver is out of Ray, and it has been shut down."""
        self._resting.set()
        self._done.set()

    def _watch(self) -> None:
        while not self._resting.wait(LOOK_S):
            with self._looking:
                halted = None if self._resting.is_set() else self._look()
            if halted is not None and not self._resting.is_set():
                self.signals.halt(halted)
                if not self._done.wait(LEAVE_S):
                    self.signals.end_at_once(HALTED, f"{halted.reason}; Ray hung, and so it was {AT_ONCE}")
                return

    def _look(self) -> Halted | None:
        heard = answers()
        if heard:
            self._heard = time.monotonic()
        elif time.monotonic() - self._heard < SILENT_S:
            return None  # whatever asks the head would wait for it
        reason = lost() if heard else f"the head of the cluster has not answered for {SILENT_S:g} s"
        if reason is not None:
            return Halted(f"Ray was lost: {reason}", lost=True)
        with suppress(Exception):  # the head may be away for a moment
            found = rooms.groups()
            rooms.release(found)
            self.board.on_waits(self._waits(found))
        still_s = self.stall.look(*self.board.moves(), time.monotonic())
        return None if still_s is None else Halted(self._stalled(still_s))

    def _waits(self, found: list[Any]) -> tuple[str, ...]:
        """Return what waits for room, by job where that is known.

        Of what Tune asks for, trials that have a slot alone wait: the next one is always staged before there is room.
        """
        if not rooms.waits(found):
            return ()
        named = tuple(f"{job}: {wait}" for job, wait in self.needs().items() if wait.is_long)
        return named or tuple(map(str, rooms.waits([group for group in found if not rooms.by_driver(group)])))

    def _stalled(self, still_s: float) -> str:
        lines = [f"no training has taken a step for {duration(still_s)} (--stall-after-min)"]
        with suppress(Exception):
            lines += [f"  at work: {text}" for text in self.board.at_work_now()]
            lines += [f"  waits for room: {text}" for text in self.board.waits]
            nodes = sum(node["Alive"] for node in ray.nodes())
            lines.append(f"  free on {nodes} nodes: {rooms.free()}")
        return "\n".join(lines)


def answers() -> bool:
    """Return whether Ray's head takes connections."""
    node = own_node()
    if node is None:
        return True  # it is being shut down
    host, _, port = node.gcs_address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()
    except OSError:
        return False
    return True


def lost() -> str | None:
    """Return why this process has no Ray any more; None where it has."""
    node = own_node()
    if node is None:
        return None  # it is being shut down
    raylet = node.raylet_socket_name
    if not os.path.exists(raylet):
        return f"its folder was removed ({os.path.dirname(os.path.dirname(raylet))})"
    for started in node.all_processes.get("raylet", ()):  # of a Ray of one's own; a zombie as long as nobody asks
        code = started.process.poll()
        if code is not None:
            return f"its raylet has ended with {code}" + (f" ({KILLED})" if code == -9 else "")
    try:
        alive = {one["NodeID"] for one in ray.nodes() if one["Alive"]}
    except Exception:  # the head is away, for a moment or for longer
        return None
    if not alive:
        return "no node of the cluster is alive"
    if node.node_id not in alive:
        return f"the node of this driver is dead, and without its raylet ({KILLED}) it can start nothing"
    return None

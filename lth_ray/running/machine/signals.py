"""Ctrl-C and SIGTERM: the first puts everything down in order, a second ends it at once."""

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from lth_ray.running.watch import Halted, Interrupted

NUMBERS = signal.SIGINT, signal.SIGTERM
HALT = signal.SIGUSR2  # what gets the main thread out of a wait within Ray
SHUTDOWN_S = 60.0  # after which one that hangs is ended as by a second signal
SAID_S = 1.0  # that saying what is done may take before the main thread does it: a live view that ends meanwhile stays
STOPPING = (
    "stopping: trainings have 20 s to write their last checkpoints, and MLflow 10 s to take what it lacks; a second "
    "Ctrl-C or SIGTERM ends everything at once"
)
AT_ONCE = "ended at once; the same command goes on from what is stored"


class Signals:
    """A context that turns Ctrl-C and SIGTERM into Interrupted, raised in the main thread while the block
    runs.

    A thread of its own, which the kernel tells of signals whatever the main thread hangs in, says what is being done,
    and on a second signal, or after SHUTDOWN_S, calls `end_all` and ends the process. Outside the main thread nothing
    is changed.
    """

    def __init__(self, say: Callable[[str], None], end_all: Callable[[], None], stopping: str = STOPPING) -> None:
        self.say, self.end_all, self.stopping = say, end_all, stopping
        self.halted: Halted | None = None
        self._received: list[int] = []
        self._before: dict[int, Any] = {}

    def halt(self, halted: Halted) -> None:
        """Raise `halted` in the main thread, from another thread."""
        self.halted = halted
        if self._before:
            os.kill(os.getpid(), HALT)

    def __enter__(self) -> "Signals":
        if threading.current_thread() is threading.main_thread():
            self._end, heard = socket.socketpair()
            self._end.setblocking(False)
            self._wakeup = signal.set_wakeup_fd(self._end.fileno(), warn_on_full_buffer=False)
            self._before = {number: signal.signal(number, self._stop) for number in (*NUMBERS, HALT)}
            self._said = threading.Event()
            self._listening = threading.Thread(target=self._listen, args=(heard,), name="lth_ray-signals", daemon=True)
            self._listening.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: Any) -> None:
        if self._before:
            for number, handler in self._before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(self._wakeup)
            self._before = {}
            self._end.close()
            self._listening.join()
        if self._received and isinstance(error, (SystemExit, KeyboardInterrupt)):
            raise Interrupted(128 + self._received[0]) from None  # out of ray.wait it comes as SystemExit(1)

    def _stop(self, number: int, _: Any) -> None:
        if number == HALT:
            if self.halted is not None:
                raise self.halted
            return
        self._received.append(number)
        if len(self._received) == 1:
            self._said.wait(SAID_S)
            raise Interrupted(128 + number)

    def _listen(self, heard: socket.socket) -> None:
        first, deadline = 0, 0.0
        with heard:
            while True:
                left = max(0.0, deadline - time.monotonic()) if first else None
                numbers = heard.recv(64) if select.select([heard], [], [], left)[0] else None
                if numbers == b"":  # the block has ended
                    return
                caught = [number for number in numbers or () if number in NUMBERS]
                if caught and not first:
                    first, deadline = caught.pop(0), time.monotonic() + SHUTDOWN_S
                    self.say(self.stopping)
                    self._said.set()
                if caught or (first and numbers is None):
                    self.end_at_once(128 + (caught or [first])[0], AT_ONCE)

    def end_at_once(self, code: int, why: str) -> None:
        """End the process and what it has started, whatever its threads are in."""
        threading.Thread(target=self.say, args=(why,), daemon=True).start()  # a console may hang as well
        self.end_all()
        os._exit(code)


@contextmanager
def kept() -> Iterator[None]:
    """Undo what the block does to handlers, as ray.init does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in NUMBERS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""Ctrl-C and SIGTERM, so that everything is put down in order."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lth_ray.running.watch import Interrupted

SHUTDOWN_S = 30


@contextmanager
def signals() -> Iterator[None]:
    """Turns Ctrl-C and SIGTERM into Interrupted, raised in the main thread.

    To be entered after ray.init, which sets handlers of its own.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    received: list[int] = []

    def stop(number: int, _: Any) -> None:
        received.append(number)
        # a second signal, or a shutdown that hangs, ends the process at once
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(SHUTDOWN_S)
        raise Interrupted(128 + number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except (SystemExit, KeyboardInterrupt):
        if received:  # a signal within ray.wait comes out of Ray as SystemExit(1)
            raise Interrupted(128 + received[0]) from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

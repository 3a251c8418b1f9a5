"""Python's garbage collector, kept away from what stays for good.

Torch, pandas, Ray and MLflow make a million objects when they are imported, of which none is ever garbage. By default
all of them are searched again and again while they are made, and once more when the process ends, which takes a second
there: a third of what `--plan` takes.
"""

import atexit
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

NEW_OBJECTS, YOUNG, OLD = 200_000, 20, 20  # Python's own: 700, 10, 10


@contextmanager
def paused() -> Iterator[None]:
    """Search for no garbage while objects are made of which nearly all stay, such as a plan's."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def spared() -> Iterator[None]:
    """Spare what imports make: it is not searched for garbage, now or later."""
    with paused():
        try:
            yield
        finally:
            gc.freeze()


def relax() -> None:
    """Let the collector of a command come less often, and not at all when the process ends."""
    gc.set_threshold(NEW_OBJECTS, YOUNG, OLD)
    atexit.register(gc.freeze)


@atexit.register  # before the others, and so it is called after them
def _search_at_the_end() -> None:
    """Have what is spared taken down where triton was loaded, which else lists it on the screen as leaked."""
    if "triton" in sys.modules:
        gc.unfreeze()

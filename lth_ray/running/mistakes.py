"""Mistakes of a user: they end a script in one message and exit status 2, also while it declares its study."""

import signal
import sys
import traceback
from types import TracebackType


def tell_plainly() -> None:
    """Have uncaught ConfigErrors and StorageErrors told without a traceback, and a Ctrl-C while lth_ray loads or plans.

    In a prompt, where more may follow, and for all others nothing changes.
    """
    before = sys.excepthook

    def tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        is_prompt = hasattr(sys, "ps1") or bool(sys.flags.interactive)
        if not is_prompt and issubclass(kind, KeyboardInterrupt) and _is_within(trace):
            print("interrupted before anything was begun", file=sys.stderr, flush=True)
            raise SystemExit(128 + signal.SIGINT)  # which the interpreter heeds in a hook
        if is_prompt or not issubclass(kind, Exception) or not _is_mistake(kind):
            before(kind, error, trace)
            return
        print(f"error: {error}", file=sys.stderr, flush=True)
        raise SystemExit(2)

    sys.excepthook = tell


def _is_within(trace: TracebackType | None) -> bool:
    """Return whether a trace leads through this package, by what it does or by what it imports."""
    return any(frame.f_globals.get("__name__", "").startswith("lth_ray") for frame, _ in traceback.walk_tb(trace))


def _is_mistake(kind: type[BaseException]) -> bool:
    from lth_ray.config import ConfigError
    from lth_ray.store.errors import StorageError

    return issubclass(kind, (ConfigError, StorageError))

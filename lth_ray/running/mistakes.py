"""Mistakes of a user: they end a script in one message and exit status 2, also while it declares its study."""

import sys
from types import TracebackType


def tell_plainly() -> None:
    """Have uncaught ConfigErrors and StorageErrors told without a traceback.

    In a prompt, where more may follow, and for all others nothing changes.
    """
    before = sys.excepthook

    def tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        from lth_ray.config import ConfigError
        from lth_ray.store.errors import StorageError

        if not issubclass(kind, (ConfigError, StorageError)) or hasattr(sys, "ps1") or sys.flags.interactive:
            before(kind, error, trace)
            return
        print(f"error: {error}", file=sys.stderr, flush=True)
        raise SystemExit(2)  # which the interpreter heeds in a hook

    sys.excepthook = tell

"""The token of a Ray of one's own: whoever reads it can run code as its user."""

import os
import secrets
from contextlib import suppress
from pathlib import Path


def private_token(path: Path | None = None) -> None:
    """Make the token where there is none, and let nobody else read it: Ray itself makes a file of mode 644."""
    path = path or Path("~/.ray/auth_token").expanduser()
    with suppress(OSError):  # a home that cannot be written to: Ray says so, or does without
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with suppress(FileExistsError), open(path, "x", opener=_private) as file:
            file.write(secrets.token_hex(32))
        path.chmod(0o600)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)

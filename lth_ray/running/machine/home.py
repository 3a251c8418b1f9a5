"""The user's home: what has to be written there, and the token of a Ray of one's own. Imports no Ray."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from lth_ray.config import ConfigError, Launch
from lth_ray.data.cache import cache_dir

ELSEWHERE = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")  # Ray then needs no file in the home
JOINING = ("RAY_JOB_ID", "RAY_ADDRESS")


def check_home(launch: Launch) -> None:
    """Raise ConfigError where a Ray of the study's own could not start, since it keeps a token in the home."""
    if launch.address or any(os.environ.get(name) for name in JOINING):
        return
    if wrong := without_token():
        raise ConfigError(": ".join((wrong[0], "; ".join(wrong[1:]))))


def without_token() -> tuple[str, str, str] | None:
    """Return (the field and its value, what is wrong, the remedy) where Ray could not make a token; None
    where it can.
    """
    token = Path.home() / ".ray" / "auth_token"
    disabled = os.environ.get("RAY_AUTH_MODE", "token").lower() != "token"
    if disabled or any(os.environ.get(name) for name in ELSEWHERE) or token.is_file() or can_be_written(token.parent):
        return None
    return (
        f"HOME = {str(Path.home())!r}",
        f"a Ray of its own keeps its token in {token}, which this user cannot write",
        "set HOME to a folder that can be written, or RAY_AUTH_TOKEN to a long random text",
    )


def without_cache() -> tuple[str, str] | None:
    """Return (what is wrong, the remedy) where nothing can be kept in the cache; None where it can."""
    if can_be_written(cache_dir()):
        return None
    return (
        f"{cache_dir()} cannot be written: decoded images are not kept, and data sets not downloaded there",
        "set XDG_CACHE_HOME to a folder that can be written",
    )


def can_be_written(folder: Path) -> bool:
    """Return whether files can be made in a folder that may have to be made first."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


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

"""Failures of a piece, in words: errors are reported, not handed from process to process."""

from lth_ray.config import ConfigError
from lth_ray.config.blame import told_of
from lth_ray.store import StorageError


class Failed(RuntimeError):
    """A piece that failed in a worker; the message is what `described` made of it."""


def described(error: Exception) -> str:
    """Return an error in words: our own messages say what to do; of another the user's own line is named with
    it.
    """
    if isinstance(error, (ConfigError, StorageError, Failed)):
        return str(error)
    return told_of(error)

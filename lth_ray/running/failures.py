"""What went wrong in a task, in words: errors are reported, not handed from process to process."""

import traceback
from pathlib import Path

from lth_ray.config import ConfigError
from lth_ray.store import StorageError


class Failed(RuntimeError):
    """A task failed in a worker; the message is what `described` made of it."""


def described(error: Exception) -> str:
    """An error in one line: our own messages say what to do; another's place in the code is named with it."""
    if isinstance(error, (ConfigError, StorageError, Failed)):
        return str(error)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(frame.filename).name}, line {frame.lineno}, in {frame.name})"

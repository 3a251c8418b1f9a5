"""Errors of stored images; they are ConfigErrors, so that planning reports them alike."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lth_ray.config import ConfigError

REMEDY = "replace the file by a fresh copy"


class MissingDataset(ConfigError):
    """A data set's files were not found: the message names them, where they were looked for and how to get them."""


class DamagedDataset(ConfigError):
    """A file is there, but not what it should be: truncated, foreign or incomplete."""

    def __init__(self, where: str | Path, why: str, remedy: str = REMEDY) -> None:
        super().__init__(f"{where}: {why}; {remedy}")
        self._parts = str(where), why, remedy

    def __reduce__(self) -> tuple[type["DamagedDataset"], tuple[str, str, str]]:
        """Pickle by the arguments: exceptions pickle by their message, which is not what this one is made
        from.
        """
        return type(self), self._parts


class Unlabelled(DamagedDataset):
    """A file of images without labels, as test sets are that are kept secret."""


@contextmanager
def readable(
    path: Path, what: str = "cannot be read", remedy: str = REMEDY, kinds: tuple[type[Exception], ...] = (OSError,)
) -> Iterator[None]:
    """Raise DamagedDataset, naming `path`, for what is raised within of these kinds."""
    try:
        yield
    except DamagedDataset:
        raise
    except kinds as error:
        raise DamagedDataset(path, f"{what} ({reason(error)})", remedy) from None


def reason(error: BaseException) -> str:
    """Return an error's first line in words that are the same in every process: no object's address."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    first = (text.splitlines() or [""])[0]
    return re.sub(r" ?<[^<>]* at 0x[0-9a-fA-F]+>", "", first) or type(error).__name__

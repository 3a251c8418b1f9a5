"""What can be wrong with stored images; both are ConfigErrors, so that planning reports them alike."""

from pathlib import Path

from lth_ray.config import ConfigError


class MissingDataset(ConfigError):
    """A data set's files were not found: the message names them, where they were looked for and how to get them."""


class DamagedDataset(ConfigError):
    """A file is there, but not what it should be: truncated, foreign or incomplete."""

    def __init__(self, where: str | Path, why: str, remedy: str = "replace the file by a fresh copy") -> None:
        super().__init__(f"{where}: {why}; {remedy}")
        self._parts = str(where), why, remedy

    def __reduce__(self) -> tuple[type["DamagedDataset"], tuple[str, str, str]]:
        """Exceptions pickle by their message, which is not what this one is made from."""
        return type(self), self._parts

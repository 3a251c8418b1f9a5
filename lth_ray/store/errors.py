"""Errors of storage. Every message names the file or URI and the way out."""

from __future__ import annotations


class StorageError(RuntimeError):
    """The storage cannot be used as asked: unwritable, full, unreachable, or not of a kind that is supported."""


class StorageAway(StorageError):
    """The storage does not answer now and may do so again: a server that is down or overloaded, a stale mount."""


class MissingFile(StorageError):
    """A file that was asked for by its path is not in the store."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"the store has no file {self.path}"


class DamagedFile(StorageError):
    """A file is there but is not what was written: truncated, foreign, or with other bytes.

    path: relative to the store, as `Store.quarantine` takes it.
    why: one clause.
    """

    def __init__(self, path: str, why: str) -> None:
        super().__init__(path, why)  # both in args, so that the error survives pickling between processes
        self.path = path
        self.why = why

    def __str__(self) -> str:
        return (
            f"{self.path} in the store is damaged: {self.why}. "
            "Move it aside (Store.quarantine) and run the study again: what it held is then made again"
        )

"""The place of the bytes: the few operations that the store needs of a file system or an object store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol, TypeVar

TEMPORARY = ".tmp"  # a folder inside the store, so that a rename never crosses file systems; not listed unless asked
BUNDLES = "bundles"  # a folder of files that hold others; not listed unless asked
MARKER = "lth_ray.json"  # what tells a storage from any other folder; never listed
Data = bytes | Sequence[bytes | memoryview]  # of a file: whole, or in parts that follow one another
T = TypeVar("T")


@dataclass(frozen=True)
class Entry:
    """One file as a listing shows it.

    modified: seconds since the epoch by the storage's clock.
    """

    path: str
    bytes: int
    modified: float


class Files(Protocol):
    """Files by relative paths, with forward slashes. A write is complete or absent whenever the process dies.

    Every method raises StorageAway where the storage does not answer now, and StorageError where it never will.
    """

    @property
    def uri(self) -> str: ...

    def put(self, path: str, data: Data) -> None:
        """Write or replace a file, atomically and durably."""

    def put_if_absent(self, path: str, data: bytes) -> bool:
        """Write unless the path is there; of any number of writers at once exactly one gets True."""

    def get(self, path: str) -> bytes:
        """Return a file's bytes. Raise MissingFile."""

    def read(self, path: str, reader: Callable[[BinaryIO], T]) -> T:
        """Return what `reader` makes of a file, opened at its beginning; it may be called again from there.

        Raise MissingFile.
        """

    def part(self, path: str, begin: int, size: int) -> bytes:
        """Return some of a file's bytes, fewer where it ends before. Raise MissingFile."""

    def exists(self, path: str) -> bool: ...

    def entries(self, folder: str) -> Iterator[Entry]:
        """Yield every file below the folder, "" being the root, but for the storage's marker.

        Temporary files are among them only where their folder is named.
        """

    def delete(self, *paths: str) -> None:
        """Remove files; a path that is not there is fine."""

    def move(self, path: str, to: str) -> None:
        """Move a file, in place of what is at `to`; a path that is not there is fine."""


def parts_of(data: Data) -> list[memoryview]:
    """Return the parts of a file, without a copy."""
    return [memoryview(part) for part in ([data] if isinstance(data, bytes) else data)]


def span(data: Data, start: int, end: int) -> bytes:
    """Return the bytes of a file from `start` to `end`, or to its own end, as one piece."""
    found, offset = list[memoryview](), 0
    for part in parts_of(data):
        found.append(part[max(0, start - offset) : max(0, end - offset)])
        offset += len(part)
    return b"".join(found)

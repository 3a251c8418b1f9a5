"""A local or mounted (NFS, Lustre ...) folder as a store's files."""

from __future__ import annotations

import errno
import os
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

from lth_ray import probes
from lth_ray.store.errors import MissingFile, StorageAway, StorageError
from lth_ray.store.files import MARKER, TEMPORARY, Data, Entry, parts_of

ATTEMPTS = 8
PRIVATE = 0o700
T = TypeVar("T")

REMEDIES = {
    errno.ENOSPC: "the disk is full: free some space or choose another --storage",
    errno.EDQUOT: "the disk quota is used up: free some space or choose another --storage",
    errno.EROFS: "the file system is read-only: choose another --storage",
    errno.EACCES: "permission denied: choose a --storage that this user may write to",
    errno.EPERM: "the file system lacks or forbids hard links, which publishing once needs: choose another --storage",
    errno.EOPNOTSUPP: "the file system has no hard links, which publishing once needs: choose another --storage",
    errno.ENOTDIR: "a part of this path is a file, not a folder: choose another --storage",
}
# What a mount says while its server is away; a disk that fails says EIO as well, and then for good.
AWAY = {
    errno.ESTALE, errno.EIO, errno.EREMOTEIO, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN,
    errno.ENETUNREACH, errno.ENOTCONN, errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.ESHUTDOWN,
    errno.ENOLINK, errno.ENODEV, errno.ENXIO, errno.EAGAIN,
}  # fmt: skip


@dataclass(frozen=True)
class LocalFiles:
    """Files below `root`, an absolute path. Stateless, so it pickles and is safe among threads and processes.

    marked: the root had a marker. Where it has none now the storage is away, as under a mount point with nothing
    mounted: that must neither pass for an empty storage nor be written to.
    """

    root: str
    marked: bool = False

    @property
    def uri(self) -> str:
        return self.root

    def put(self, path: str, data: Data) -> None:
        with self._explained(path), self._written(data) as temporary:
            self._in_folder(self._full(path), lambda target: os.replace(temporary, target))
            _sync_folder(self._full(path).parent)

    def put_if_absent(self, path: str, data: bytes) -> bool:
        """Write by a hard link, which fails if its target is there.

        That holds on NFS too, where O_EXCL alone would expose a part of the file.
        """
        with self._explained(path), self._written(data) as temporary:
            try:
                self._in_folder(self._full(path), lambda target: os.link(temporary, target))
            except FileExistsError:
                # NFS may repeat a request whose answer was lost: the count of links then tells that it was ours.
                return os.stat(temporary).st_nlink == 2
            _sync_folder(self._full(path).parent)
            return True

    def get(self, path: str) -> bytes:
        return self.read(path, lambda file: file.read())

    def read(self, path: str, reader: Callable[[BinaryIO], T]) -> T:
        with self._explained(path):
            try:
                with self._full(path).open("rb") as file:
                    return reader(file)
            except (FileNotFoundError, IsADirectoryError):
                raise MissingFile(path) from None

    def part(self, path: str, begin: int, size: int) -> bytes:
        def cut(file: BinaryIO) -> bytes:
            file.seek(begin)
            return file.read(size)

        return self.read(path, cut)

    def exists(self, path: str) -> bool:
        with self._explained(path):
            try:
                return stat.S_ISREG(os.stat(self._full(path)).st_mode)
            except (FileNotFoundError, NotADirectoryError):
                return False

    def entries(self, folder: str) -> Iterator[Entry]:
        with self._explained(folder):
            for parent, folders, names in os.walk(self._full(folder), onerror=_raise_unless_gone):
                if parent == self.root and TEMPORARY in folders:
                    folders.remove(TEMPORARY)
                for name in names:
                    full = Path(parent, name)
                    try:
                        status = full.stat()
                    except FileNotFoundError:  # deleted by another process since it was listed
                        continue
                    path = full.relative_to(self.root).as_posix()
                    if path != MARKER:
                        yield Entry(path, status.st_size, status.st_mtime)

    def delete(self, *paths: str) -> None:
        """Remove files, and folders left empty, so that a long-lived store does not fill with them."""
        for path in paths:
            self._delete(path)

    def _delete(self, path: str) -> None:
        full = self._full(path)
        with self._explained(path):
            full.unlink(missing_ok=True)
        for parent in full.parents:
            if str(parent) == self.root:
                break
            try:
                parent.rmdir()
            except OSError:  # not empty, or gone
                break

    def move(self, path: str, to: str) -> None:
        with self._explained(path):
            if self.exists(path):
                self._in_folder(self._full(to), lambda target: os.replace(self._full(path), target))

    def _full(self, path: str) -> Path:
        return Path(self.root, path)

    def _in_folder(self, target: Path, action: Callable[[Path], T]) -> T:
        """Do the action, making the target's folder where it is missing; another process may be removing it."""
        for _ in range(ATTEMPTS):
            try:
                return action(target)
            except FileNotFoundError:
                self._make_folder(target.parent)
        return action(target)

    def _make_folder(self, folder: Path) -> None:
        """Make a folder. The store itself is its owner's alone; one that was made before keeps its mode."""
        with suppress(FileNotFoundError):  # removed again by another process: the caller's next attempt sees to it
            if not folder.is_dir():
                self._make_folder(folder.parent)
                folder.mkdir(PRIVATE if str(folder) == self.root else 0o777, exist_ok=True)
                _sync_folder(folder.parent)

    @contextmanager
    def _written(self, data: Data) -> Iterator[Path]:
        """Give a temporary file that holds the data durably; it is gone afterwards unless it was renamed."""
        temporary = self._full(f"{TEMPORARY}/{uuid.uuid4().hex}")
        try:
            with self._in_folder(temporary, lambda target: open(target, "xb")) as file:
                halves = [half for part in parts_of(data) for half in (part[: len(part) // 2], part[len(part) // 2 :])]
                middle = len(halves) // 2
                file.writelines(halves[:middle])
                probes.point("mid-write")
                file.writelines(halves[middle:])
                file.flush()
                os.fsync(file.fileno())
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)

    @contextmanager
    def _explained(self, path: str) -> Iterator[None]:
        try:
            if self.marked and not Path(self.root, MARKER).is_file():
                raise StorageAway(f"{self.root} is gone, or nothing is mounted there now: it has no {MARKER}")
            yield
        except OSError as error:
            if error.errno in AWAY:
                raise StorageAway(f"cannot reach {self._full(path)}: {error.strerror or error}") from error
            remedy = REMEDIES.get(error.errno or 0) or f"{error.strerror or error}: mend it or choose another --storage"
            raise StorageError(f"cannot access {self._full(path)}: {remedy}") from error


def _raise_unless_gone(error: OSError) -> None:
    """Raise where a folder cannot be read: it must not pass for an empty one, or what it names would be
    collected.
    """
    if not isinstance(error, FileNotFoundError):
        raise error


def _sync_folder(folder: Path) -> None:
    """Make a new name durable: without it a power cut may undo the rename of a file that itself was synced."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

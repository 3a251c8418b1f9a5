"""Shards kept on this node's own disk, for sets whose place is far away.

Any number of processes share the folder: each shard is copied by one of them while the others wait for it, and is
whole or absent. What has not been opened for longest makes room.
"""

import hashlib
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from lth_ray.config import ConfigError
from lth_ray.data.cache import cache_dir
from lth_ray.data.errors import DamagedDataset
from lth_ray.data.packed.manifest import Shard
from lth_ray.store.files import Files

FOLDER, CAP = "LTH_RAY_SHARD_CACHE", "LTH_RAY_SHARD_CACHE_GB"
DEFAULT_GB = 200.0  # ImageNet at full size takes 145
WAIT_S = 0.05


@dataclass(frozen=True)
class ShardCache:
    """A folder of shards on a local disk.

    folder: its path.
    cap: bytes that its files may take, those being copied included.
    """

    folder: Path
    cap: int

    def path(self, shard: Shard, files: Files) -> Path:
        """Return the path of the shard on this node, copied from `files` and checked if it was not there."""
        kept = self.folder / f"{shard.sha256}.arrow"
        if not _touched(kept):
            if shard.bytes > self.cap:
                raise ConfigError(
                    f"{CAP}: {shard.name} alone has {shard.bytes / 1e9:.3g} GB, and the cap of {self.folder} is "
                    f"{self.cap / 1e9:.3g}; raise it"
                )
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._lock(shard.sha256):
                if not _touched(kept):  # by the process that held the lock
                    self._copy(shard, files, kept)
        return kept

    def _copy(self, shard: Shard, files: Files, kept: Path) -> None:
        partial = kept.with_suffix(".partial")
        while not self._reserve(partial, shard.bytes):
            time.sleep(WAIT_S)  # other processes' copies take all of the cap for now
        try:
            data = files.get(shard.name)
            check(data, shard, f"{files.uri}/{shard.name}")
            with partial.open("r+b") as file:
                file.write(data)
            os.replace(partial, kept)
        finally:
            partial.unlink(missing_ok=True)

    def _reserve(self, partial: Path, size: int) -> bool:
        """Make room, and a sparse file of `size` bytes that takes it; return False where that cannot be done
        now.
        """
        with self._lock("room"):
            taken = 0
            shards: list[tuple[float, int, Path]] = []
            for path in self.folder.iterdir():
                with suppress(FileNotFoundError):  # renamed or removed since it was listed
                    status = path.stat()
                    if path.suffix == ".partial" and not self._abandoned(path):
                        taken += status.st_size
                    elif path.suffix == ".arrow":
                        shards.append((status.st_mtime_ns, status.st_size, path))
            if taken + size > self.cap:
                return False
            taken += sum(found for _, found, _ in shards)
            for _, found, path in sorted(shards):
                if taken + size <= self.cap:
                    break
                path.unlink(missing_ok=True)
                taken -= found
            with partial.open("wb") as file:
                file.truncate(size)
            return True

    def _abandoned(self, partial: Path) -> bool:
        """Remove what a killed process left behind: whoever copies a shard holds its lock."""
        try:
            with self._lock(partial.stem, timeout=0):
                partial.unlink(missing_ok=True)
                return True
        except Timeout:
            return False

    def _lock(self, name: str, timeout: float = -1) -> FileLock:
        return FileLock(self.folder / f"{name}.lock", timeout=timeout)


def shard_cache(remote: bool) -> ShardCache | None:
    """Return the cache that the environment asks for; without a word from it remote places have one, local
    ones none.
    """
    folder = os.environ.get(FOLDER)
    if not folder and not remote:
        return None
    given = os.environ.get(CAP, str(DEFAULT_GB))
    try:
        cap = int(float(given) * 1e9)
    except (ValueError, OverflowError):
        cap = 0
    if cap <= 0:
        raise ConfigError(f"{CAP} = {given!r}: give a positive number of gigabytes")
    return ShardCache(Path(folder).expanduser() if folder else cache_dir() / "shards", cap)


def settle_cache() -> None:
    """Make the folder that the environment names absolute, for the processes that will inherit it."""
    if os.environ.get(FOLDER):
        os.environ[FOLDER] = str(Path(os.environ[FOLDER]).expanduser().absolute())


def check(data: bytes | memoryview, shard: Shard, where: str) -> None:
    """Raise DamagedDataset unless `data` is the shard that the manifest speaks of."""
    if len(data) != shard.bytes:
        raise DamagedDataset(where, f"has {len(data)} bytes, the manifest says {shard.bytes}")
    if hashlib.sha256(data).hexdigest() != shard.sha256:
        raise DamagedDataset(where, "is damaged: its sha256 is not the manifest's")


def _touched(path: Path) -> bool:
    """Mark the file as used now; return False where it is not there."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True

"""Shards: Arrow files of encoded images that are mapped into memory and read row by row."""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import pyarrow as pa

from lth_ray.data.errors import DamagedDataset, reason
from lth_ray.data.packed.manifest import Shard
from lth_ray.data.packed.shard_cache import ShardCache, check
from lth_ray.store.errors import MissingFile
from lth_ray.store.files import Files
from lth_ray.store.local import LocalFiles

SCHEMA = pa.schema([("image", pa.large_binary()), ("label", pa.int64()), ("name", pa.string())])
OPEN_SHARDS = 1024  # mapped at a time in a process, the kernel's limit being 65,530
ATTEMPTS = 8
OPEN_CACHED = 64  # a shard that the cache has dropped takes space for as long as it is mapped


def encode_shard(images: Sequence[bytes], labels: Sequence[int], names: Sequence[str]) -> bytes:
    """Return an Arrow file of one record batch; equal rows give equal bytes."""
    arrays = [pa.array(column, field.type) for column, field in zip((images, labels, names), SCHEMA, strict=True)]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, SCHEMA) as writer:
        writer.write_batch(pa.record_batch(arrays, schema=SCHEMA))
    return bytes(sink.getvalue())


@dataclass(frozen=True)
class Row:
    """One stored image.

    data: its encoded bytes, still in the mapped file.
    where: shard and row, for messages.
    """

    data: memoryview
    label: int
    where: str


class Shards:
    """The images of a split by their positions. Files are opened when a row of theirs is first asked for.

    Pickles without its open files, so that each process maps its own.
    """

    def __init__(self, files: Files, shards: Sequence[Shard], cache: ShardCache | None) -> None:
        self.files, self.shards, self.cache = files, tuple(shards), cache
        self.ends = list(accumulate(shard.rows for shard in shards))
        self._open: OrderedDict[int, pa.RecordBatch] = OrderedDict()

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def __getstate__(self) -> tuple[Files, tuple[Shard, ...], ShardCache | None]:
        return self.files, self.shards, self.cache

    def __setstate__(self, state: tuple[Files, tuple[Shard, ...], ShardCache | None]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def row(self, position: int) -> Row:
        """Return the image at `position`. DamagedDataset and MissingFile name its shard."""
        number = bisect_right(self.ends, position)
        shard = self.shards[number]
        row = position - self.ends[number] + shard.rows
        table = self._mapped(number)
        data = memoryview(table.column(0)[row].as_buffer())
        return Row(data, table.column(1)[row].as_py(), f"{self.files.uri}/{shard.name}, row {row}")

    def name(self, position: int) -> str:
        """Return the name that the image at `position` had where it was packed from."""
        number = bisect_right(self.ends, position)
        row = position - self.ends[number] + self.shards[number].rows
        return str(self._mapped(number).column(2)[row].as_py())

    def _mapped(self, number: int) -> pa.RecordBatch:
        if number in self._open:
            self._open.move_to_end(number)
            return self._open[number]
        shard = self.shards[number]
        self._open[number] = table = opened(self.files, shard, self.cache)
        if len(self._open) > (OPEN_SHARDS if self.cache is None else OPEN_CACHED):
            self._open.popitem(last=False)
        return table


def opened(files: Files, shard: Shard, cache: ShardCache | None) -> pa.RecordBatch:
    """Return the shard's rows, from this node's disk."""
    for _ in range(ATTEMPTS if cache is not None else 0):
        with suppress(FileNotFoundError):  # another process made room since the cache gave the path
            return open_shard(local_path(files, shard, cache), shard)
    return open_shard(local_path(files, shard, cache), shard)


def local_path(files: Files, shard: Shard, cache: ShardCache | None) -> Path:
    """Return the path of a file of this node's that holds the shard."""
    if cache is not None:
        return cache.path(shard, files)
    assert isinstance(files, LocalFiles), "a set that is not on a file system has a cache"
    path = Path(files.root, shard.name)
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise DamagedDataset(path, "is missing, and the manifest names it", "complete the copy") from None
    if size != shard.bytes:
        raise DamagedDataset(path, f"has {size} bytes, the manifest says {shard.bytes}")
    return path


def open_shard(path: Path, shard: Shard) -> pa.RecordBatch:
    """Return the rows of a shard, mapped and not read.

    Raise FileNotFoundError; DamagedDataset where it is no shard.
    """
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)
        table.validate(full=True)  # offsets that point out of the file would end the process
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise DamagedDataset(path, f"is not a shard that can be read ({reason(error)})") from None
    if not table.schema.equals(SCHEMA) or table.num_rows != shard.rows:
        raise DamagedDataset(path, f"has {table.num_rows} rows of {table.schema.names}, the manifest says {shard.rows}")
    return table


def verify_shard(files: Files, shard: Shard) -> str | None:
    """Return what is wrong with a stored shard, or None: all its bytes are read."""
    try:
        check(files.get(shard.name), shard, f"{files.uri}/{shard.name}")
    except MissingFile:
        return f"{files.uri}/{shard.name}: is missing, and the manifest names it; complete the copy"
    except DamagedDataset as error:
        return str(error)
    return None

"""The lines of text files, read one after another, so that a text may be larger than memory."""

import gzip
import hashlib
import zlib
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from lth_ray.data.errors import DamagedDataset, readable

ENDINGS = (".txt", ".txt.gz")
STEMS: dict[str, tuple[str, ...]] = {  # of the files of each part
    "train": ("train",),
    "validation": ("valid", "validation", "val", "dev"),
    "test": ("test",),
}
DAMAGED = (EOFError, OSError, zlib.error)  # what reading a truncated or foreign .gz raises


@dataclass(frozen=True)
class Part:
    """A part of a text, such as that to train on.

    files: text files, or Parquet files with a column of text, in reading order.
    column: of Parquet files.
    """

    files: tuple[Path, ...]
    column: str = "text"

    def raw(self) -> Iterator[bytes]:
        """Yield its lines, each with the newline that ends it; the last of a file may have none."""
        for _, _, line in self._placed():
            yield line

    def lines(self) -> Iterator[str]:
        """Yield its lines without what ends them, and without the mark that a file of UTF-8 may begin with. Raise
        DamagedDataset, naming file and line, for what is no UTF-8.
        """
        for path, number, line in self._placed():
            line = line.removeprefix(BOM_UTF8) if number == 1 else line
            try:
                yield line.rstrip(b"\r\n").decode()
            except UnicodeDecodeError as error:
                raise DamagedDataset(
                    f"{path}, line {number}",
                    f"byte {error.start + 1} (0x{line[error.start]:02x}) is no UTF-8",
                    f"convert the file, as by: iconv -f latin1 -t utf-8 {path.name}",
                ) from None

    def digest(self) -> str:
        """Return the sha256 of its bytes: of a compressed file of what is in it."""
        found = hashlib.sha256()
        for line in self.raw():
            found.update(line)
        return found.hexdigest()

    @property
    def called(self) -> str:
        """The place of its first file, for messages."""
        return str(self.files[0])

    def _placed(self) -> Iterator[tuple[Path, int, bytes]]:
        for path in self.files:
            rows = _of_parquet(path, self.column) if path.suffix == ".parquet" else _of_file(path)
            for number, line in enumerate(rows, 1):
                yield path, number, line


def _of_file(path: Path) -> Iterator[bytes]:
    with readable(path, "cannot be read", kinds=DAMAGED), _opened(path) as file:
        yield from file


def _opened(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def _of_parquet(path: Path, column: str) -> Iterator[bytes]:
    """Yield the lines of every row; a row that does not end in a newline is given one."""
    import pyarrow as pa

    from lth_ray.data.sets.parquet import as_parquet, open_parquet

    schema = open_parquet(path).schema_arrow
    kind = schema.field(column).type if schema.names.count(column) == 1 else None
    if kind is None or not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        found = ", ".join(f"{field.name} ({field.type})" for field in schema)
        raise DamagedDataset(path, f"has the columns {found}", f"one of strings must be called {column!r}")
    with as_parquet(path):
        for batch in open_parquet(path).iter_batches(columns=[column]):
            for text in batch.column(0).to_pylist():
                yield from _split(text or "")


def _split(text: str) -> Iterable[bytes]:
    return (line + b"\n" for line in text.removesuffix("\n").encode().split(b"\n"))

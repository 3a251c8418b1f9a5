"""Image sets in the Hugging Face Parquet layout: a column of struct<bytes, path>, a column of whole-number labels."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lth_ray.config.tasks.images import MOST_CLASSES
from lth_ray.data.dataset import Source, file_digest
from lth_ray.data.errors import DamagedDataset, MissingDataset, Unlabelled, readable
from lth_ray.data.images import Encoded, EncodedSplit, image_source
from lth_ray.printing import enumerated

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "labels", "fine_label")
TEST_SPLITS = ("test", "validation", "valid", "val")
ROWS = 256  # read at a time, to bound the memory that encoded images take
NUMBERED = re.compile(r"-(\d+)-of-(\d+)(-[0-9a-f]+)?\.parquet")  # what follows the split's name on the Hub


def parquet_source(path: Path, image_size: int | None) -> Source:
    """Return the set in `path` (or its folder data/); the splits are train and the one that `labelled` finds."""
    folder = next((f for f in (path, path / "data") if shards(f, "train")), None)
    if folder is None:
        raise MissingDataset(f"Data.name = 'parquet:{path}': no train-*.parquet in {path} or {path / 'data'}")
    tested = labelled(folder)
    train, test = encoded_split(folder, "train"), encoded_split(folder, tested)
    seen = int(max(train.labels.max(), test.labels.max())) + 1
    return image_source(train, test, max(seen, len(named_classes(folder))), image_size)


def labelled(folder: Path) -> str:
    """Return the first of TEST_SPLITS that is there and has labels: those of a test set that is kept secret
    are -1.

    MissingDataset where none is there; Unlabelled where none has labels.
    """
    there = [split for split in TEST_SPLITS if shards(folder, split)]
    if not there:
        names = " nor ".join(f"{split}-*.parquet" for split in TEST_SPLITS)
        raise MissingDataset(
            f"{folder}: neither {names}; a set needs images to test on: put some rows of train into such a file"
        )
    return first_labelled(there, lambda split: [stored_labels(path) for path in shards(folder, split)])


def first_labelled(splits: Sequence[str], read: Callable[[str], object]) -> str:
    """Return the first split whose labels `read` reads. Raise Unlabelled where none has any."""
    for split in splits:
        try:
            read(split)
            return split
        except Unlabelled:
            if split == splits[-1]:
                raise
    raise AssertionError("the last split is returned, or raises")


def shards(folder: Path, split: str) -> list[Path]:
    """Return a split's files in reading order.

    Raise DamagedDataset if numbered shards (..-00000-of-00002) are incomplete.

    Beside numbered files those of another name are another set's, such as train-small-00000-of-00001.
    """
    found = sorted(path for path in folder.glob(f"{split}-*.parquet") if path.is_file())
    numbered = {path: match for path in found if (match := NUMBERED.fullmatch(path.name.removeprefix(split)))}
    if not numbered:
        return found
    of = max(int(match[2]) for match in numbered.values())
    if sorted(int(match[1]) for match in numbered.values()) != list(range(of)):
        raise DamagedDataset(folder, f"{len(numbered)} of {of} files of the split {split}", "complete the copy")
    return list(numbered)


def encoded_split(folder: Path, split: str) -> EncodedSplit:
    """Return a split's labels and checksums; its images are read when they are asked for."""
    paths = shards(folder, split)
    labels = np.concatenate([stored_labels(path) for path in paths])
    if not len(labels):
        raise DamagedDataset(folder, f"the split {split} has no rows")

    def encoded() -> Iterator[Encoded]:
        for path in paths:
            yield from _images(path)

    return EncodedSplit(labels, [file_digest(path) for path in paths], encoded)


def stored_labels(path: Path) -> NDArray[np.int64]:
    """Return a file's labels, int64 [rows]. Raise DamagedDataset unless all are whole numbers from 0 up."""
    file = open_parquet(path)
    column = column_name(path, LABEL_COLUMNS)
    with as_parquet(path):
        values = file.read(columns=[column]).column(column)
    return whole_labels(path, column, values)


def whole_labels(path: Path, column: str, values: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return a column's labels, int64 [rows]. Raise DamagedDataset as in `stored_labels`."""
    if not pa.types.is_integer(values.type) or values.null_count:
        why = f"column {column} is {values.type} with {values.null_count} missing"
        raise DamagedDataset(path, why, "use whole numbers from 0 up")
    labels = values.to_numpy()
    if len(labels) and labels.min() < 0:
        raise Unlabelled(path, f"label {labels.min()} in column {column}", "use a split that is labelled")
    if len(labels) and labels.max() >= MOST_CLASSES:
        why = f"label {labels.max()} in column {column}"
        raise DamagedDataset(path, why, f"number the classes from 0 up, under {MOST_CLASSES}")
    return np.asarray(labels, dtype=np.int64)


def _images(path: Path) -> Iterator[Encoded]:
    column = column_name(path, IMAGE_COLUMNS)
    with as_parquet(path):
        batches = open_parquet(path).iter_batches(ROWS, columns=[f"{column}.bytes"])
        yield from image_bytes(path, (batch.column(0) for batch in batches))


def image_bytes(path: Path, columns: Iterable[pa.StructArray]) -> Iterator[Encoded]:
    """Yield every row's image, of consecutive pieces of a column. Raise DamagedDataset where one has none."""
    row = 0
    for column in columns:
        for data in column.field("bytes"):
            if not data.is_valid:
                raise DamagedDataset(path, f"row {row} has no image bytes", "store the images in the file")
            yield f"{path}, row {row}", data.as_py()
            row += 1


def column_name(path: Path, names: tuple[str, ...]) -> str:
    """Return the first of `names` (IMAGE_COLUMNS, LABEL_COLUMNS) that the file has.

    Raise DamagedDataset where it has none.
    """
    schema = open_parquet(path).schema_arrow
    found = next((name for name in names if name in schema.names), None)
    if found is None or schema.names.count(found) > 1:
        kind_of_error = Unlabelled if names is LABEL_COLUMNS and found is None else DamagedDataset
        raise kind_of_error(
            path, f"has the columns {', '.join(schema.names)}", f"one must be called {enumerated(names)}"
        )
    kind = schema.field(found).type
    if names is IMAGE_COLUMNS and not holds_bytes(kind):
        raise DamagedDataset(path, f"column {found} is {kind}", "store struct<bytes: binary, path: string>")
    return found


def holds_bytes(kind: pa.DataType) -> bool:
    """Return whether a column holds images in the files' own bytes: struct<bytes, path>."""
    place = kind.get_field_index("bytes") if pa.types.is_struct(kind) else -1
    return place >= 0 and (
        pa.types.is_binary(kind.field(place).type) or pa.types.is_large_binary(kind.field(place).type)
    )


def open_parquet(path: Path) -> pq.ParquetFile:
    """Return the file, of which its footer is read. Raise DamagedDataset where it is no Parquet file."""
    with as_parquet(path):
        return pq.ParquetFile(path, page_checksum_verification=True)


def as_parquet(path: Path) -> AbstractContextManager[None]:
    """Raise DamagedDataset for what reading a damaged file raises, of many kinds."""
    return readable(path, "is not a readable Parquet file", kinds=(pa.ArrowException, OSError, ValueError))


def named_classes(folder: Path) -> list[str]:
    """Return the classes that the files' metadata names, if any; a small sample need not show them all."""
    path = shards(folder, "train")[0]
    metadata = (open_parquet(path).schema_arrow.metadata or {}).get(b"huggingface", b"{}")
    try:
        found = json.loads(metadata)
    except (ValueError, RecursionError):  # somebody else's
        return []
    for name in ("info", "features", column_name(path, LABEL_COLUMNS), "names"):
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, list) and all(isinstance(name, str) for name in found) else []

"""Image sets in the Hugging Face Parquet layout: a column of struct<bytes, path>, a column of whole-number labels."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lth_ray.data.dataset import Source, file_digest
from lth_ray.data.errors import DamagedDataset, MissingDataset
from lth_ray.data.images import Encoded, EncodedSplit, image_source

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "fine_label")
ROWS = 256  # read at a time, to bound the memory that encoded images take


def parquet_source(path: Path, image_size: int | None) -> Source:
    """The set in `path` (or its folder data/); the splits are train and test, or validation where there is no test."""
    folder = next((f for f in (path, path / "data") if shards(f, "train")), None)
    if folder is None:
        raise MissingDataset(f"Data.name = 'parquet:{path}': no train-*.parquet in {path} or {path / 'data'}")
    tested = next((split for split in ("test", "validation") if shards(folder, split)), None)
    if tested is None:
        raise MissingDataset(
            f"Data.name = 'parquet:{path}': neither test-*.parquet nor validation-*.parquet in {folder}; "
            f"a set needs images to test on"
        )
    train, test = encoded_split(folder, "train"), encoded_split(folder, tested)
    seen = int(max(train.labels.max(), test.labels.max())) + 1
    return image_source(train, test, max(seen, len(named_classes(folder))), image_size)


def shards(folder: Path, split: str) -> list[Path]:
    """A split's files in reading order. DamagedDataset if numbered shards (..-00000-of-00002) are incomplete."""
    found = sorted(folder.glob(f"{split}-*.parquet"))
    for path in found:
        numbers = re.search(r"-\d+-of-(\d+)\.parquet$", path.name)
        if numbers and len(found) != int(numbers[1]):
            why = f"{len(found)} of {int(numbers[1])} files of the split {split}"
            raise DamagedDataset(folder, why, "complete the copy")
    return found


def encoded_split(folder: Path, split: str) -> EncodedSplit:
    """A split's labels and checksums; its images are read when they are asked for."""
    paths = shards(folder, split)
    labels = np.concatenate([stored_labels(path) for path in paths])
    if not len(labels):
        raise DamagedDataset(folder, f"the split {split} has no rows")

    def encoded() -> Iterator[Encoded]:
        for path in paths:
            yield from _images(path)

    return EncodedSplit(labels, [file_digest(path) for path in paths], encoded)


def stored_labels(path: Path) -> NDArray[np.int64]:
    """A file's labels, int64 [rows]. DamagedDataset unless all are whole numbers from 0 up."""
    column = column_name(path, LABEL_COLUMNS)
    values = open_parquet(path).read(columns=[column]).column(column)
    if not pa.types.is_integer(values.type) or values.null_count:
        why = f"column {column} is {values.type} with {values.null_count} missing"
        raise DamagedDataset(path, why, "use whole numbers from 0 up")
    labels = np.asarray(values.to_numpy(), dtype=np.int64)
    if len(labels) and labels.min() < 0:
        raise DamagedDataset(path, f"label {labels.min()} in column {column}", "use a split that is labelled")
    return labels


def _images(path: Path) -> Iterator[Encoded]:
    column = column_name(path, IMAGE_COLUMNS)
    row = 0
    for batch in open_parquet(path).iter_batches(ROWS, columns=[f"{column}.bytes"]):
        for data in batch.column(0).field("bytes"):
            if not data.is_valid:
                raise DamagedDataset(path, f"row {row} has no image bytes", "store the images in the file")
            yield f"{path}, row {row}", data.as_py()
            row += 1


def column_name(path: Path, names: tuple[str, ...]) -> str:
    """The first of `names` (IMAGE_COLUMNS, LABEL_COLUMNS) that the file has. DamagedDataset where it has none."""
    schema = open_parquet(path).schema_arrow
    found = next((name for name in names if name in schema.names), None)
    if found is None:
        raise DamagedDataset(
            path, f"has the columns {', '.join(schema.names)}", f"one must be called {' or '.join(names)}"
        )
    kind = schema.field(found).type
    if names is IMAGE_COLUMNS and not (pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0):
        raise DamagedDataset(path, f"column {found} is {kind}", "store struct<bytes: binary, path: string>")
    return found


def open_parquet(path: Path) -> pq.ParquetFile:
    """The file, of which its footer is read. DamagedDataset where it is no Parquet file."""
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DamagedDataset(path, f"is not a readable Parquet file ({error})") from None


def named_classes(folder: Path) -> list[str]:
    """The classes that the files' metadata names, if any; a small sample need not show them all."""
    path = shards(folder, "train")[0]
    metadata = (open_parquet(path).schema_arrow.metadata or {}).get(b"huggingface", b"{}")
    features = json.loads(metadata).get("info", {}).get("features", {})
    return list(features.get(column_name(path, LABEL_COLUMNS), {}).get("names") or ())

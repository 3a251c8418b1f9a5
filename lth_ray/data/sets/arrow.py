"""Image sets as Hugging Face's datasets saves them (DatasetDict.save_to_disk): a folder for each split, of Arrow files.

PATH/dataset_dict.json      {"splits": ["train", "test"]}
PATH/train/state.json       {"_data_files": [{"filename": "data-00000-of-00001.arrow"}], ...}
PATH/train/dataset_info.json    {"features": {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", ...}}}
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lth_ray.data.dataset import Source, file_digest
from lth_ray.data.errors import DamagedDataset, MissingDataset, Unlabelled, readable
from lth_ray.data.images import Encoded, EncodedSplit, image_source
from lth_ray.data.sets.parquet import (
    IMAGE_COLUMNS,
    LABEL_COLUMNS,
    TEST_SPLITS,
    first_labelled,
    holds_bytes,
    image_bytes,
    whole_labels,
)
from lth_ray.printing import enumerated

SPLITS, STATE, INFO = "dataset_dict.json", "state.json", "dataset_info.json"
SAVE = "save train and test together, as dataset.train_test_split(test_size=...).save_to_disk(PATH) does"


def arrow_source(path: Path, image_size: int | None) -> Source:
    """Return the set in `path`.

    Its splits are train and the first of test, validation, valid and val that has labels.

    MissingDataset; DamagedDataset.
    """
    what = f"Data.name = 'arrow:{path}'"
    if not (path / SPLITS).is_file():
        alone = "one split alone, and a set needs images to train and to test on" if (path / STATE).is_file() else ""
        raise MissingDataset(f"{what}: {alone or f'there is no {path / SPLITS}'}; {SAVE}")
    splits = _json(path / SPLITS).get("splits")
    there = [str(split) for split in splits] if isinstance(splits, list) else []
    tests = [split for split in TEST_SPLITS if split in there]
    if "train" not in there or not tests:
        raise MissingDataset(
            f"{what}: its splits are {', '.join(there) or 'none'}; it needs train and one of {', '.join(TEST_SPLITS)}: "
            f"{SAVE}"
        )
    tested = first_labelled(tests, lambda split: _labels(path / split))
    train, test = _encoded_split(path / "train"), _encoded_split(path / tested)
    seen = int(max(train.labels.max(), test.labels.max())) + 1
    return image_source(train, test, max(seen, len(_classes(path / "train"))), image_size)


def _encoded_split(folder: Path) -> EncodedSplit:
    labels, column = _labels(folder), _column(folder, "Image", IMAGE_COLUMNS)
    if not len(labels):
        raise DamagedDataset(folder, "the split has no rows")

    def encoded() -> Iterator[Encoded]:
        for path in _files(folder):
            yield from _images(path, column)

    return EncodedSplit(labels, [file_digest(path) for path in _files(folder)], encoded)


def _labels(folder: Path) -> NDArray[np.int64]:
    column = _column(folder, "ClassLabel", LABEL_COLUMNS)
    found = []
    for path in _files(folder):
        pieces = [batch.column(batch.schema.get_field_index(column)) for batch in _batches(path, column)]
        found.append(whole_labels(path, column, pa.chunked_array(pieces or [pa.array([], pa.int64())])))
    return np.concatenate(found) if found else np.empty(0, dtype=np.int64)


def _images(path: Path, column: str) -> Iterator[Encoded]:
    def pieces() -> Iterator[pa.StructArray]:
        for batch in _batches(path, column):
            found = batch.column(batch.schema.get_field_index(column))
            if not holds_bytes(found.type):
                raise DamagedDataset(path, f"column {column} is {found.type}", "save the images in the set's own files")
            yield found

    return image_bytes(path, pieces())


def _batches(path: Path, column: str) -> Iterator[pa.RecordBatch]:
    """Yield the file's rows, piece by piece, without reading what is not looked at."""
    with as_arrow(path), pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as stream:
        if stream.schema.names.count(column) != 1:
            raise DamagedDataset(path, f"has the columns {', '.join(stream.schema.names)}, and {column} is needed")
        yield from stream


def as_arrow(path: Path) -> AbstractContextManager[None]:
    """Raise DamagedDataset for what reading a damaged file raises."""
    return readable(path, "is not a readable Arrow file", kinds=(pa.ArrowException, OSError, ValueError))


def _files(folder: Path) -> list[Path]:
    """Return a split's files in reading order. Raise DamagedDataset where one is missing."""
    listed = _json(folder / STATE).get("_data_files")
    names = [one.get("filename") for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    if not names or not all(isinstance(name, str) for name in names):
        raise DamagedDataset(folder / STATE, "lists no files", "save the set again")
    paths = [folder / str(name) for name in names]
    for path in paths:
        if not path.is_file():
            raise DamagedDataset(path, "is missing", "complete the copy")
    return paths


def _column(folder: Path, kind: str, preferred: Sequence[str]) -> str:
    """Return the feature of a kind: by a `preferred` name where there are several, or the column of such a
    name.
    """
    features = _features(folder)
    of_kind = [name for name, feature in features.items() if isinstance(feature, dict) and feature.get("_type") == kind]
    named = [name for name in preferred if name in (of_kind or features)]
    if named or len(of_kind) == 1:
        return (named or of_kind)[0]
    raise (Unlabelled if kind == "ClassLabel" and not of_kind else DamagedDataset)(
        folder / INFO,
        f"{', '.join(of_kind) or 'none'} of the features {', '.join(features)} has the kind {kind}",
        f"let one have it, or call it {enumerated(preferred)}",
    )


def _classes(folder: Path) -> list[str]:
    feature = _features(folder)[_column(folder, "ClassLabel", LABEL_COLUMNS)]
    names = feature.get("names") if isinstance(feature, dict) else None
    return names if isinstance(names, list) else []


def _features(folder: Path) -> dict[str, Any]:
    found = _json(folder / INFO).get("features")
    return found if isinstance(found, dict) else {}


def _json(path: Path) -> dict[str, Any]:
    with readable(path, "is not readable JSON", kinds=(OSError, ValueError, RecursionError)):
        found = json.loads(path.read_text())
    return found if isinstance(found, dict) else {}

"""Layouts that can be packed: image files in one folder per class, torchvision's ImageNet and Places365, Hugging
Face Parquet files.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np

from lth_ray.config import ConfigError
from lth_ray.data.errors import DamagedDataset, MissingDataset, readable, reason
from lth_ray.data.packed.place_lists import find_places, is_places
from lth_ray.data.sets.class_folders import TEST_FOLDERS, ImageFile, find_class_folders
from lth_ray.data.sets.parquet import (
    IMAGE_COLUMNS,
    LABEL_COLUMNS,
    ROWS,
    as_parquet,
    column_name,
    labelled,
    named_classes,
    open_parquet,
    shards,
    stored_labels,
)

MB = 10**6
ARCHIVES = "ILSVRC2012_*.tar*"
CLASSES = "classes.txt"  # a name a line, in the order of the labels


@dataclass(frozen=True)
class FoundImage:
    """One image as it was found.

    data: None where there is none.
    """

    name: str
    label: int
    data: bytes | None


class Images(Protocol):
    """The images of one shard-to-be. It is small, and is sent to the process that reads them."""

    def __len__(self) -> int: ...

    def read(self) -> Iterator[FoundImage]:
        """Yield each image in turn, read as it is asked for."""

    def stamp(self) -> list[object]:
        """Return plain data that changes when the images do, as far as their files' sizes and dates tell; no
        place.
        """


@dataclass(frozen=True)
class ImageFiles:
    """Files of a set of class folders."""

    files: tuple[ImageFile, ...]

    def __len__(self) -> int:
        return len(self.files)

    def read(self) -> Iterator[FoundImage]:
        for file in self.files:
            with readable(file.path):
                data = file.path.read_bytes()
            yield FoundImage(file.name, file.label, data)

    def stamp(self) -> list[object]:
        return [[file.name, file.label, file.bytes, file.modified_ns] for file in self.files]


@dataclass(frozen=True)
class ParquetRows:
    """Rows `start` to `stop` of a file."""

    path: str
    start: int
    stop: int
    bytes: int
    modified_ns: int

    def __len__(self) -> int:
        return self.stop - self.start

    def read(self) -> Iterator[FoundImage]:
        path = Path(self.path)
        file, image, label = open_parquet(path), column_name(path, IMAGE_COLUMNS), column_name(path, LABEL_COLUMNS)
        first, groups = 0, []
        skipped = 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if first + rows <= self.start:
                skipped += rows
            elif first < self.stop:
                groups.append(group)
            first += rows
        row = skipped
        batches = file.iter_batches(ROWS, row_groups=groups, columns=[image, label])
        while True:
            with as_parquet(path):
                batch = next(batches, None)
            if batch is None:
                return
            found = batch.column(batch.schema.get_field_index(image))
            labels = batch.column(batch.schema.get_field_index(label))
            for i in range(max(0, self.start - row), min(len(found), self.stop - row)):
                value = found[i].as_py() or {}
                name = value.get("path") or f"{path.name}, row {row + i}"
                yield FoundImage(name, labels[i].as_py(), value.get("bytes"))
            row += len(found)

    def stamp(self) -> list[object]:
        return [Path(self.path).name, self.start, self.stop, self.bytes, self.modified_ns]


@dataclass(frozen=True)
class Layout:
    """A source that can be packed.

    train, test: the images of each shard, in order.
    """

    kind: str
    classes: tuple[str, ...]
    train: tuple[Images, ...]
    test: tuple[Images, ...]


def find_layout(source: Path, shard_mb: int) -> Layout:
    """Return what lies in the folder `source`, cut into pieces of about `shard_mb` megabytes.

    MissingDataset where it is none of the layouts; DamagedDataset where a layout is incomplete.
    """
    if is_places(source):
        places = find_places(source)
        train, test = (_pieces(files, shard_mb * MB) for files in (places.train, places.test))
        return Layout("torchvision Places365", places.classes, train, test)
    if (source / "train").is_dir():
        return _folder_layout(source, shard_mb * MB)
    parquet = next((folder for folder in (source, source / "data") if shards(folder, "train")), None)
    if parquet is not None:
        return _parquet_layout(parquet, shard_mb * MB)
    if any(source.glob(ARCHIVES)):
        raise ConfigError(
            f"{source}: archives are not packed as they are; torchvision unpacks them beside themselves: python -c "
            f"\"from torchvision.datasets import ImageNet as I; I('{source}', 'train'); I('{source}', 'val')\""
        )
    raise MissingDataset(
        f"{source}: nothing to pack; looked for train/ and one of {', '.join(TEST_FOLDERS)} with one folder per class, "
        "for train-*.parquet with test-*.parquet or validation-*.parquet, and for the lists of Places365"
    )


def _folder_layout(source: Path, shard_bytes: int) -> Layout:
    found = find_class_folders(source, f"{source}: nothing to pack")
    train, test = (_pieces(files, shard_bytes) for files in (found.train, found.test))
    names = _wordnet_names(source)
    kind = "torchvision ImageNet" if names else "folder per class"
    return Layout(kind, tuple(names.get(name, name) for name in found.classes), train, test)


def _pieces(files: Sequence[ImageFile], shard_bytes: int) -> tuple[ImageFiles, ...]:
    """Return the files in their order, cut where so many bytes are together."""
    pieces: list[ImageFiles] = []
    piece: list[ImageFile] = []
    size = 0
    for file in files:
        piece.append(file)
        size += file.bytes
        if size >= shard_bytes:
            pieces.append(ImageFiles(tuple(piece)))
            piece, size = [], 0
    return (*pieces, ImageFiles(tuple(piece))) if piece else tuple(pieces)


def _wordnet_names(source: Path) -> dict[str, str]:
    """Return {WordNet id: what it stands for} from what torchvision has left beside ImageNet, if it has."""
    from torchvision.datasets import imagenet

    if not (source / imagenet.META_FILE).is_file():
        return {}
    try:
        names, _ = imagenet.load_meta_file(str(source))  # loads plain data only (weights_only)
        return {wnid: ", ".join(words) for wnid, words in names.items()}
    except Exception as error:  # of many kinds, where the file is damaged
        remedy = "remove it, to have classes called by their folders"
        raise DamagedDataset(source / imagenet.META_FILE, f"cannot be read ({reason(error)})", remedy) from None


def _parquet_layout(folder: Path, shard_bytes: int) -> Layout:
    tested = labelled(folder)
    labels = {split: [stored_labels(path) for path in shards(folder, split)] for split in ("train", tested)}
    for split in ("train", tested):
        if not sum(len(found) for found in labels[split]):
            raise DamagedDataset(folder, f"the split {split} has no rows")
    seen = max(int(np.max(found, initial=-1)) for split in ("train", tested) for found in labels[split]) + 1
    listed = next((path for path in (folder / CLASSES, folder.parent / CLASSES) if path.is_file()), None)
    names = named_classes(folder) or (_lines(listed) if listed else [])
    names = [name.strip() for name in names if name.strip()]
    classes = (*names, *(str(label) for label in range(len(names), seen)))
    train, test = (_rows(folder, split, labels[split], shard_bytes) for split in ("train", tested))
    return Layout("Hugging Face Parquet", classes, train, test)


def _lines(path: Path) -> list[str]:
    with readable(path, kinds=(OSError, ValueError)):
        return path.read_text().split("\n")


def _rows(folder: Path, split: str, labels: list[np.ndarray], shard_bytes: int) -> tuple[ParquetRows, ...]:
    """Return each file in equal parts of at most so many bytes, a row at least."""
    found = []
    for path, in_file in zip(shards(folder, split), labels, strict=True):
        status, n = path.stat(), len(in_file)
        parts = min(n, -(-status.st_size // shard_bytes))
        ends = [n * i // parts for i in range(parts + 1)] if parts else []
        found += [
            ParquetRows(str(path), start, stop, status.st_size, status.st_mtime_ns) for start, stop in pairwise(ends)
        ]
    return tuple(found)

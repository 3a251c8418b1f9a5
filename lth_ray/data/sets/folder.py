"""Image sets as one folder per class: PATH/train/<class>/*.jpg and PATH/test/<class>/*.jpg."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from lth_ray.data.dataset import Source, file_digest
from lth_ray.data.errors import DamagedDataset, readable
from lth_ray.data.images import EMPTY, Encoded, EncodedSplit, image_source
from lth_ray.data.sets.class_folders import ImageFile, find_class_folders


def folder_source(path: Path, image_size: int | None) -> Source:
    """Return the set in `path`, as `find_class_folders` finds it. Raise MissingDataset; DamagedDataset."""
    found = find_class_folders(path, f"Data.name = 'folder:{path}'")
    train, test = _encoded_split(found.train), _encoded_split(found.test)
    return image_source(train, test, len(found.classes), image_size)


def _encoded_split(files: Sequence[ImageFile]) -> EncodedSplit:
    for file in files:
        if not file.bytes:
            raise DamagedDataset(file.path, *EMPTY)

    def encoded() -> Iterator[Encoded]:
        for file in files:
            yield str(file.path), _bytes(file)

    digests = [f"{file.label} {_digest(file)}" for file in files]
    return EncodedSplit(np.array([file.label for file in files], dtype=np.int64), digests, encoded)


def _bytes(file: ImageFile) -> bytes:
    with readable(file.path):
        return file.path.read_bytes()


def _digest(file: ImageFile) -> str:
    with readable(file.path):
        return file_digest(file.path)

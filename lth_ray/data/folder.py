"""Image sets as one folder per class: PATH/train/<class>/*.jpg and PATH/test/<class>/*.jpg."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lth_ray.data.dataset import Source, file_digest
from lth_ray.data.errors import DamagedDataset, MissingDataset
from lth_ray.data.images import Encoded, EncodedSplit, image_source

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
TEST_FOLDERS = ("test", "validation", "val")


def folder_source(path: Path, image_size: int | None) -> Source:
    """Classes are numbered in the order of their folders' names in train; test may lack some, but has no others.

    MissingDataset where a folder is not there; DamagedDataset where one has no images or unknown classes.
    """
    tested = next((name for name in TEST_FOLDERS if (path / name).is_dir()), None)
    if not (path / "train").is_dir() or tested is None:
        raise MissingDataset(
            f"Data.name = 'folder:{path}': looked for {path / 'train'} and one of "
            f"{', '.join(str(path / name) for name in TEST_FOLDERS)}, each with one folder per class"
        )
    classes = sorted(entry.name for entry in (path / "train").iterdir() if entry.is_dir())
    train, test = _encoded_split(path / "train", classes), _encoded_split(path / tested, classes)
    return image_source(train, test, len(classes), image_size)


def _encoded_split(folder: Path, classes: list[str]) -> EncodedSplit:
    unknown = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name not in classes)
    if unknown:
        raise DamagedDataset(folder, f"classes not in train: {', '.join(unknown)}", "name them as in train")
    files = [
        (label, path)
        for label, name in enumerate(classes)
        for path in sorted((folder / name).glob("*"))
        if path.suffix.lower() in SUFFIXES
    ]
    if not files:
        raise DamagedDataset(folder, "holds no images", "put them in one folder per class")

    def encoded() -> Iterator[Encoded]:
        for _, path in files:
            yield str(path), path.read_bytes()

    digests = [f"{label} {file_digest(path)}" for label, path in files]
    return EncodedSplit(np.array([label for label, _ in files], dtype=np.int64), digests, encoded)

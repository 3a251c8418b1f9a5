"""Tiny-ImageNet (Stanford's CS231n): 200 classes of 64x64 images, in the folder that its archive unpacks to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lth_ray.data.dataset import Source, file_digest
from lth_ray.data.errors import DamagedDataset, MissingDataset, readable
from lth_ray.data.images import Encoded, EncodedSplit, image_source
from lth_ray.data.sets.download import places

FOLDER = "tiny-imagenet-200"
CLASSES, ANNOTATIONS = "wnids.txt", "val/val_annotations.txt"
PARTS = (CLASSES, "train", ANNOTATIONS, "val/images")


@dataclass(frozen=True)
class Labelled:
    """An image file and its class."""

    path: Path
    label: int


def tiny_imagenet_source(data_root: Path | None, image_size: int | None) -> Source:
    """Return the set, its validation images as those to test on: the labels of its test set are kept secret.

    Classes are numbered in the order of their WordNet ids, as torchvision numbers folders. image_size: as in
    config.Data, None for the 64 pixels that images have.

    MissingDataset where no folder has its files; DamagedDataset for a class without images and a list that names
    others.
    """
    folder = _locate(data_root)
    with readable(folder / CLASSES, kinds=(OSError, ValueError)):
        classes = sorted((folder / CLASSES).read_text().split())
    if not classes:
        raise DamagedDataset(folder / CLASSES, "names no class")
    train = [one for label, name in enumerate(classes) for one in _of_class(folder / "train" / name, label)]
    return image_source(_split(train), _split(_validation(folder, classes)), len(classes), image_size)


def _locate(data_root: Path | None) -> Path:
    folders = [place / end for place in places(data_root) for end in (FOLDER, "tiny_imagenet", "")]
    for folder in folders:
        if all((folder / name).exists() for name in PARTS):
            return folder
    begun = [f"{folder} lacks {name}" for folder in folders if (folder / CLASSES).exists() for name in PARTS
             if not (folder / name).exists()]  # fmt: skip
    raise MissingDataset(
        f"Data.name = 'tiny_imagenet': no folder holds all of {', '.join(PARTS)}. "
        f"{'; '.join(begun) + '. ' if begun else ''}Looked in: {'; '.join(map(str, folders))}. It is not downloaded: "
        f"unpack {FOLDER}.zip of Stanford's CS231n in the folder that --data-root gives"
    )


def _of_class(folder: Path, label: int) -> list[Labelled]:
    """Return a class's training images, in the order of their names."""
    images = folder / "images"
    with readable(images, "cannot be listed", "complete the copy"):
        found = sorted(path for path in images.iterdir() if path.suffix.upper() == ".JPEG")
    if not found:
        raise DamagedDataset(images, "holds no .JPEG images", "complete the copy")
    return [Labelled(path, label) for path in found]


def _validation(folder: Path, classes: Sequence[str]) -> list[Labelled]:
    """Return the images of the validation list, in its order."""
    path, numbers = folder / ANNOTATIONS, {name: label for label, name in enumerate(classes)}
    with readable(path, kinds=(OSError, ValueError)):
        lines = [line.split("\t") for line in path.read_text().splitlines() if line.strip()]
    found = []
    for number, line in enumerate(lines, 1):
        if len(line) < 2 or line[1] not in numbers:
            raise DamagedDataset(path, f"line {number} names no class of {CLASSES}: {line[:2]}")
        image = folder / "val" / "images" / line[0]
        if not image.is_file():
            raise DamagedDataset(image, f"is missing, and {path.name} lists it", "complete the copy")
        found.append(Labelled(image, numbers[line[1]]))
    if not found:
        raise DamagedDataset(path, "lists no image")
    return found


def _split(files: Sequence[Labelled]) -> EncodedSplit:
    def encoded() -> Iterator[Encoded]:
        for file in files:
            with readable(file.path):
                data = file.path.read_bytes()
            yield str(file.path), data

    digests = [f"{file.label} {file_digest(file.path)}" for file in files]
    return EncodedSplit(np.array([file.label for file in files], dtype=np.int64), digests, encoded)

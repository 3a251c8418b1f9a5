"""Sets with one folder per class: the folders that are classes, and the files below them that are their
images.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lth_ray.data.dataset import Source, file_digest
from lth_ray.data.errors import DamagedDataset, MissingDataset, readable
from lth_ray.data.images import EMPTY, Encoded, EncodedSplit, image_source

SUFFIXES = {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm",
    ".avif", ".heic", ".heif", ".jp2",
}  # fmt: skip
TEST_FOLDERS = ("test", "validation", "val")
Folder = tuple[int, int]  # device and inode: what a link leads to


@dataclass(frozen=True)
class ImageFile:
    """One image file.

    path: of the file.
    name: its path below the set's own folder, with slashes.
    """

    path: Path
    name: str
    label: int
    bytes: int
    modified_ns: int


@dataclass(frozen=True)
class ClassFolders:
    """A set of image files.

    classes: in the order of their labels.
    """

    classes: tuple[str, ...]
    train: tuple[ImageFile, ...]
    test: tuple[ImageFile, ...]


def find_class_folders(place: Path, what: str) -> ClassFolders:
    """Return the images in place/train and in the first of place/test, validation and val that has class
    folders.

    A class is a folder in train; they are numbered in the order of their names, as torchvision numbers them. Its images
    are the files below it, however deep, whose names end as images' do, also in upper case. What begins with a dot is
    neither (Jupyter, macOS and version control leave such things behind). Test may lack a class, but has no others.

    what: begins the message of MissingDataset, where there are no such folders. DamagedDataset: a class that has no
    images or is unknown, and what is no file that can be read.
    """
    classes = _subfolders(place / "train") if (place / "train").is_dir() else None
    tested = next((n for n in TEST_FOLDERS if (place / n).is_dir() and _subfolders(place / n)), None)
    if classes is None or tested is None:
        looked = ", ".join(str(place / name) for name in TEST_FOLDERS)
        raise MissingDataset(
            f"{what}: looked for {place / 'train'} and one of {looked}, each with one folder per class; "
            "a set needs images to train and to test on"
        )
    if not classes:
        raise DamagedDataset(place / "train", "holds no images", "put them in one folder per class")
    unknown = sorted(set(_subfolders(place / tested)) - set(classes))
    if unknown:
        raise DamagedDataset(place / tested, f"classes not in train: {', '.join(unknown)}", "name them as in train")
    train, test = (
        tuple(image for label, name in enumerate(classes) for image in _images(place, f"{split}/{name}", label))
        for split in ("train", tested)
    )
    empty = sorted({*range(len(classes))} - {image.label for image in train})
    if empty:
        raise DamagedDataset(
            place / "train",
            f"no images in {', '.join(classes[label] for label in empty)}",
            f"put some there ({' '.join(sorted(SUFFIXES))}), or remove the folder, which counts as a class",
        )
    if not test:
        raise DamagedDataset(place / tested, "holds no images", "put them in one folder per class")
    return ClassFolders(tuple(classes), train, test)


def _subfolders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in _entries(folder) if entry.is_dir())


def _images(place: Path, name: str, label: int, above: frozenset[Folder] = frozenset()) -> Iterator[ImageFile]:
    """Yield those of the folder place/name, then those of its own folders, each in the order of their names.

    above: the folders that it lies in, to one of which a link may lead back.
    """
    folder = place / name
    try:
        status = folder.stat()
    except FileNotFoundError:  # a class that the test set lacks
        return
    if (status.st_dev, status.st_ino) in above:
        raise DamagedDataset(folder, "is a link to a folder that it lies in", "remove the link")
    inner: list[str] = []
    for entry in _entries(folder):
        if entry.is_dir():
            inner.append(entry.name)
        elif Path(entry.name).suffix.lower() in SUFFIXES:
            yield _image_file(entry, f"{name}/{entry.name}", label)
    for one in inner:
        yield from _images(place, f"{name}/{one}", label, above | {(status.st_dev, status.st_ino)})


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return what lies in a folder, by name.

    A link that leads nowhere may be a class, or images of one, and is named.
    """
    try:
        with os.scandir(folder) as entries:
            found = sorted((one for one in entries if not one.name.startswith(".")), key=lambda one: one.name)
    except OSError as error:
        raise DamagedDataset(folder, f"cannot be listed ({error.strerror})", "make it a readable folder") from None
    for one in found:
        with readable(Path(one.path), remedy="remove it or mend the link"):
            one.stat()
    return found


def _image_file(entry: os.DirEntry[str], name: str, label: int) -> ImageFile:
    """Return a file of the set.

    Raise DamagedDataset unless it is a file: a pipe would be waited for without end.
    """
    status = entry.stat()
    if not stat.S_ISREG(status.st_mode):
        raise DamagedDataset(entry.path, "is no regular file", "remove it")
    return ImageFile(Path(entry.path), name, label, status.st_size, status.st_mtime_ns)


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

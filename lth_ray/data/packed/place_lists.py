"""Places365 as it is published, and as torchvision unpacks it: lists of files beside the folders of images."""

from pathlib import Path

from lth_ray.data.errors import DamagedDataset, MissingDataset, readable
from lth_ray.data.sets.class_folders import ClassFolders, ImageFile
from lth_ray.printing import enumerated

CLASSES, TRAIN, TEST = "categories_places365.txt", "places365_train_standard.txt", "places365_val.txt"
FOLDERS = {TRAIN: ("data_256_standard", "data_large_standard"), TEST: ("val_256", "val_large")}


def is_places(source: Path) -> bool:
    """Return whether a folder is that of Places365: its list of training images is there."""
    return (source / TRAIN).is_file()


def find_places(source: Path) -> ClassFolders:
    """Return the images that the lists of `source` name, in their order; of 256 pixels where both sizes are there.

    A class is called by its path without the leading letter: "airfield", "apartment_building/outdoor". Errors:
    MissingDataset for a list or a folder of images that is not there; DamagedDataset for a line that names no class or
    an image that is missing.
    """
    lacking = [name for name in (CLASSES, TEST) if not (source / name).is_file()]
    if lacking:
        raise MissingDataset(f"{source}: {TRAIN} is there, and not {', '.join(lacking)}; copy the whole devkit")
    numbered = sorted((label, name) for name, label in _lines(source / CLASSES, None))
    if [label for label, _ in numbered] != list(range(len(numbered))):
        raise DamagedDataset(source / CLASSES, f"does not number its {len(numbered)} classes from 0 up")
    classes = tuple(name.removeprefix("/").partition("/")[2] or name for _, name in numbered)
    train, test = (_images(source, name, len(classes)) for name in (TRAIN, TEST))
    return ClassFolders(classes, train, test)


def _lines(path: Path, num_classes: int | None) -> list[tuple[str, int]]:
    """Return (name, class) of each line."""
    with readable(path, kinds=(OSError, ValueError)):
        lines = [line.split() for line in path.read_text().splitlines() if line.strip()]
    for number, line in enumerate(lines, 1):
        if len(line) != 2 or not line[1].isdecimal() or (num_classes is not None and int(line[1]) >= num_classes):
            raise DamagedDataset(path, f"line {number} is no name and class: {' '.join(line)[:100]}")
    if not lines:
        raise DamagedDataset(path, "is empty")
    return [(name, int(label)) for name, label in lines]


def _images(source: Path, listed: str, num_classes: int) -> tuple[ImageFile, ...]:
    folder = next((name for name in FOLDERS[listed] if (source / name).is_dir()), None)
    if folder is None:
        raise MissingDataset(f"{source}: no folder {enumerated(FOLDERS[listed])}, whose images {listed} lists")
    found = []
    for name, label in _lines(source / listed, num_classes):
        path = source / folder / name.removeprefix("/")
        with readable(path, f"is listed in {listed} and cannot be read", "complete the copy"):
            status = path.stat()
        found.append(ImageFile(path, f"{folder}/{name.removeprefix('/')}", label, status.st_size, status.st_mtime_ns))
    return tuple(found)

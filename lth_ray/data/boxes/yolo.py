"""Boxes in the format of YOLO: a text file for each image, a line a box, in shares of the image's sides."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lth_ray.data.boxes.annotated import LISTS, Annotation, Box, Found
from lth_ray.data.boxes.coco import FOLDERS
from lth_ray.data.errors import DamagedDataset, MissingDataset, readable
from lth_ray.data.images import opened
from lth_ray.data.sets.class_folders import SUFFIXES

YAMLS = ("data.yaml", "dataset.yaml", "data.yml")
TEXTS = ("classes.txt", "obj.names")
LINE = "class x y width height"


def yolo(place: Path) -> Found:
    """Return what the text files of a set say of its images, which are those that its data.yaml names, a folder or a
    file of paths for each list, or else those in place/images/LIST or place/LIST/images.

    An image without a text file has no boxes, as YOLO's own tools take it.
    """
    about = next((path for path in (place / name for name in YAMLS) if path.is_file()), None)
    stated = {} if about is None else _yaml(about)
    lists = {name: found for name in LISTS if (found := _images(place, name, stated)) is not None}
    if "train" not in lists:
        looked = f"{place / 'images' / 'train'} or {place / 'train' / 'images'}"
        raise MissingDataset(f"Boxes.name = 'yolo:{place}': there is no folder {looked} with images")
    classes = _classes(place) if about is None else _named(stated, about)
    annotations = {name: [_annotation(path, classes) for path in paths] for name, paths in lists.items()}
    return Found(annotations, tuple(sorted(classes)) if classes else None)


def _images(place: Path, name: str, stated: Mapping[str, Any]) -> list[Path] | None:
    """Return the images of a list, None where there is no such list."""
    said = [place / one for one in (stated.get(folder) for folder in FOLDERS[name]) if isinstance(one, str)]
    listed = next((path for path in said if path.is_file()), None)
    if listed is not None:
        with readable(listed, "cannot be read as a list of images", kinds=(OSError, UnicodeDecodeError)):
            lines = [line.strip() for line in listed.read_text(encoding="utf-8").splitlines()]
        return [place / line for line in lines if line]
    usual = [folder for one in FOLDERS[name] for folder in (place / "images" / one, place / one / "images")]
    folder = next((path for path in (*said, *usual) if path.is_dir()), None)
    return None if folder is None else _in_folder(folder)


def _in_folder(folder: Path) -> list[Path]:
    """Return a folder's images. Raise MissingDataset for a text file of boxes whose image is not among them."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.name[0] != ".")
    texts = {_text_of(path) for path in paths}
    for lonely in sorted({one for text in texts for one in text.parent.glob("*.txt")} - texts):
        if lonely.name not in TEXTS:
            raise MissingDataset(f"{lonely}: its image is not in {folder}; add it, or remove the file")
    return paths


def _text_of(image: Path) -> Path:
    """Return the text file of an image: that of its name in labels/, which is beside the last images/ of its path."""
    parts = list(image.with_suffix(".txt").parts)
    for i in reversed(range(len(parts) - 1)):
        if parts[i] == "images":
            parts[i] = "labels"
            break
    return Path(*parts)


def _annotation(image: Path, classes: Sequence[str]) -> Annotation:
    path = _text_of(image)
    if not path.exists() or not image.is_file():
        return Annotation(image, (), str(path))
    with readable(path, "cannot be read as text", kinds=(OSError, UnicodeDecodeError)):
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    with readable(image):
        width, height = opened(str(image), image.read_bytes()).size
    numbered = [(number, line) for number, line in enumerate(lines, start=1) if line]
    boxes = tuple(_box(line, f"{path}, line {number}", classes, width, height) for number, line in numbered)
    return Annotation(image, boxes, str(path))


def _box(line: list[str], where: str, classes: Sequence[str], width: int, height: int) -> Box:
    try:
        kind, (x, y, w, h) = int(line[0]), map(float, line[1:])
    except ValueError:
        raise DamagedDataset(where, f"is {' '.join(line)[:80]!r}", f"give {LINE!r}, in shares of the sides") from None
    if kind < 0 or (classes and kind >= len(classes)):
        raise DamagedDataset(where, f"is of the unknown class {kind}", f"there are {len(classes)}, numbered from 0")
    left, top = (x - w / 2) * width, (y - h / 2) * height
    return Box(classes[kind] if classes else str(kind), (left, top, left + w * width, top + h * height))


def _classes(place: Path) -> tuple[str, ...]:
    """Return the names of the classes in the order of their numbers; none where no file says them."""
    for text in (place / name for name in TEXTS):
        if text.is_file():
            with readable(text, "cannot be read as text", kinds=(OSError, UnicodeDecodeError)):
                return tuple(line.strip() for line in text.read_text(encoding="utf-8").splitlines() if line.strip())
    return ()


def _yaml(path: Path) -> Mapping[str, Any]:
    import yaml

    with readable(path, "is not a readable YAML file", kinds=(OSError, ValueError, yaml.YAMLError)):
        held = yaml.safe_load(path.read_bytes())
    return held if isinstance(held, dict) else {}


def _named(held: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    names = held.get("names")
    if isinstance(names, dict) and sorted(names) == list(range(len(names))):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        raise DamagedDataset(path, "has no 'names' of classes", "list them in the order of their numbers")
    return tuple(map(str, names))

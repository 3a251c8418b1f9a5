"""Boxes in the format of COCO: a JSON file for each list of images."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lth_ray.data.boxes.annotated import LISTS, Annotation, Box, Found
from lth_ray.data.errors import DamagedDataset, MissingDataset, readable

MEND = "mend it, or replace the file by a fresh copy"
FOLDERS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}  # by other tools' names
PATTERNS = ("annotations/instances_{}*.json", "annotations/{}*.json", "{}.json", "{}/_annotations.coco.json")


def coco(place: Path) -> Found:
    """Return what the JSON files of place say: annotations/instances_train*.json and its like, see PATTERNS."""
    files = {name: found for name in LISTS if (found := _file(place, name))}
    if "train" not in files:
        looked = ", ".join(str(place / pattern.format("train")) for pattern in PATTERNS)
        raise MissingDataset(f"Boxes.name = 'coco:{place}': none of {looked} is there")
    names: dict[str, None] = {}
    lists = {name: _annotations(place, path, names) for name, path in files.items()}
    return Found(lists, tuple(sorted(names)))


def _file(place: Path, name: str) -> Path | None:
    """Return the one file of a list, None where there is none."""
    for pattern in PATTERNS:
        for folder in FOLDERS[name]:
            found = sorted(place.glob(pattern.format(folder)))
            if len(found) > 1:
                shown = ", ".join(path.name for path in found)
                raise DamagedDataset(place, f"has several lists {name!r}: {shown}", "leave one in the folder")
            if found:
                return found[0]
    return None


def _annotations(place: Path, path: Path, names: dict[str, None]) -> list[Annotation]:
    """Return what a file says of each of its images, and note the names of its classes."""
    with readable(path, "is not a readable JSON file", MEND, kinds=(OSError, ValueError, RecursionError)):
        held = json.loads(path.read_bytes())
    if not isinstance(held, dict) or not all(isinstance(held.get(part), list) for part in ("images", "categories")):
        raise DamagedDataset(path, "lacks the lists 'images', 'annotations' and 'categories'", MEND)
    if not isinstance(held.get("annotations"), list):  # as in image_info_test*.json, whose boxes are kept secret
        raise DamagedDataset(path, "has no list 'annotations'", "use a list whose boxes are there, or remove the file")
    classes = {_id(one, "id", path): str(_of(one, "name", path)) for one in held["categories"]}
    names.update(dict.fromkeys(classes.values()))
    boxes: dict[Any, list[Box]] = {_id(image, "id", path): [] for image in held["images"]}
    for number, one in enumerate(held["annotations"]):
        image = _id(one, "image_id", path)
        if image not in boxes:
            raise DamagedDataset(path, f"annotation {number} is of image {image!r}, which it does not list", MEND)
        boxes[image].append(_box(one, classes, f"{path}, annotation {number}"))
    return [
        Annotation(
            _image(place, path, str(_of(image, "file_name", path))),
            tuple(boxes[image["id"]]),
            f"{path}, image {image['id']!r}",
            (image["width"], image["height"]) if image.get("width") and image.get("height") else None,
        )
        for image in held["images"]
    ]


def _image(place: Path, path: Path, name: str) -> Path:
    """Return where an image lies: in the folder that its list is named after, in images/, or beside the list."""
    of = path.stem.removeprefix("instances_")
    folders = [place / of, place / "images" / of, place / "images", path.parent, place]
    return next((folder / name for folder in folders if (folder / name).is_file()), folders[0] / name)


def _box(one: Mapping[str, Any], classes: Mapping[Any, str], where: str) -> Box:
    kind, given = _id(one, "category_id", where), one.get("bbox")
    if kind not in classes:
        raise DamagedDataset(where, f"is of the unknown class {kind!r}", f"'categories' has {list(classes)}")
    is_four = isinstance(given, list) and len(given) == 4
    if not is_four or not all(isinstance(edge, (int, float)) and not isinstance(edge, bool) for edge in given or ()):
        raise DamagedDataset(where, f"'bbox' is {given!r}", "give [left, top, width, height]")
    left, top, width, height = map(float, given or ())
    return Box(classes[kind], (left, top, left + width, top + height), bool(one.get("iscrowd")))


def _id(held: Any, name: str, where: Path | str) -> int | float | str:
    found = _of(held, name, where)
    if not isinstance(found, (int, float, str)):
        raise DamagedDataset(where, f"{name!r} is {found!r}", "give a number")
    return found


def _of(held: Any, name: str, where: Path | str) -> Any:
    if not isinstance(held, dict) or name not in held:
        raise DamagedDataset(where, f"an entry has no {name!r}: {str(held)[:80]}", MEND)
    return held[name]

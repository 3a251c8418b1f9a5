"""Boxes in the format of PASCAL VOC: an XML file for each image, and lists of images."""

import glob
import math
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from lth_ray.data.boxes.annotated import LISTS, Annotation, Box, Corners, Found
from lth_ray.data.errors import DamagedDataset, MissingDataset, readable
from lth_ray.data.sets.class_folders import SUFFIXES

MEND = "mend it, or remove the image from its list"
SIDES = ("xmin", "ymin", "xmax", "ymax")


def voc(place: Path) -> Found:
    """Return the annotations in place/Annotations of the images that the lists in place/ImageSets/Main name."""
    folder = place / "ImageSets" / "Main"
    lists = {name: folder / f"{name}.txt" for name in LISTS if (folder / f"{name}.txt").is_file()}
    if "train" not in lists:
        raise MissingDataset(f"Boxes.name = 'voc:{place}': there is no {folder / 'train.txt'}, the list of its images")
    return Found({name: [_annotation(place, one, path) for one in _named(path)] for name, path in lists.items()}, None)


def _named(path: Path) -> list[str]:
    """Return the names in a list; a class's own lists have a 1 or -1 behind each, which this one has not."""
    with readable(path, "cannot be read as a list of images", kinds=(OSError, UnicodeDecodeError)):
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line]


def _annotation(place: Path, name: str, list_: Path) -> Annotation:
    path = place / "Annotations" / f"{name}.xml"
    if not path.is_file():
        raise MissingDataset(f"{list_} names {name!r}, and there is no {path}; add it, or remove it from the list")
    kinds = (OSError, ElementTree.ParseError, ValueError, LookupError)
    with readable(path, "is not a readable XML file", MEND, kinds=kinds):
        root = ElementTree.parse(path).getroot()  # expat expands no external entity
    if root.tag != "annotation":
        raise DamagedDataset(path, f"is a <{root.tag}>, no <annotation>", MEND)
    file = _image(place / "JPEGImages", name, (root.findtext("filename") or "").strip())
    size = root.find("size")
    stated = None if size is None else (_whole(size, "width", path), _whole(size, "height", path))
    boxes = tuple(_box(thing, path) for thing in root.findall("object"))
    return Annotation(file, boxes, str(path), stated if stated and all(stated) else None)


def _image(folder: Path, name: str, stated: str) -> Path:
    """Return the image of a name in a list; where none bears it, the one that its XML file names."""
    for path in sorted(folder.glob(f"{glob.escape(name)}.*")):
        if path.suffix.lower() in SUFFIXES:
            return path
    return folder / stated if stated else folder / f"{name}.jpg"


def _box(thing: Element, path: Path) -> Box:
    """Return an object's box. VOC counts pixels from 1, and its last ones belong to the box."""
    found = thing.find("bndbox")
    if found is None:
        raise DamagedDataset(path, "an <object> has no <bndbox>", MEND)
    left, top, right, bottom = (_number(found, side, path) for side in SIDES)
    corners: Corners = (_edge(left), _edge(top), right, bottom)
    difficult = thing.findtext("difficult", "0").strip()
    return Box(_text(thing, "name", path), corners, difficult == "1")


def _edge(first: float) -> float:
    """Return the edge before a pixel; some tools count from 0, and write that for 1."""
    return 0.0 if first == 0 else first - 1


def _text(element: Element, tag: str, path: Path) -> str:
    found = (element.findtext(tag) or "").strip()
    if not found:
        raise DamagedDataset(path, f"an <{element.tag}> has no <{tag}>", MEND)
    return found


def _number(element: Element, tag: str, path: Path) -> float:
    found = _text(element, tag, path)
    try:
        number = float(found)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DamagedDataset(path, f"<{tag}> is {found!r}, no number", MEND)
    return number


def _whole(element: Element, tag: str, path: Path) -> int:
    return int(_number(element, tag, path))

"""An image and what is annotated in it, whatever the format, and what is wrong with that."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lth_ray.data.errors import DamagedDataset, MissingDataset, readable
from lth_ray.data.images import opened

Corners = tuple[float, float, float, float]  # left, top, right, bottom in pixels from the image's upper left corner
LISTS = ("train", "val", "test")
BEYOND = 1.0  # pixels by which rounding may carry a box out of its image
DECIMALS = 2  # of a coordinate: formats that store shares of a side then tell of the same boxes


@dataclass(frozen=True)
class Box:
    """One annotated thing.

    passed_over: neither trained on nor judged by: VOC's difficult ones, COCO's crowds, and what has no area.
    """

    name: str
    corners: Corners
    passed_over: bool = False


@dataclass(frozen=True)
class Annotation:
    """A file's word on one image.

    where: the file, and the place in it, for messages.
    size: the image's width and height, where the file states them.
    """

    image: Path
    boxes: tuple[Box, ...]
    where: str
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Found:
    """A set's files.

    lists: the annotations of each of LISTS that the set has.
    classes: all names, where its files list them.
    """

    lists: Mapping[str, Sequence[Annotation]]
    classes: tuple[str, ...] | None


@dataclass(frozen=True)
class Picture:
    """An annotated image that has been looked at, with its boxes in one order.

    content: sha256 of the image file.
    size: its width and height.
    """

    image: Path
    boxes: tuple[Box, ...]
    content: str
    size: tuple[int, int]

    @property
    def meaning(self) -> str:
        """All that counts of it, in a line."""
        boxes = [f"{box.name!r} {box.corners} {box.passed_over}" for box in self.boxes]
        return " ".join([self.content, *boxes])


def looked_at(given: Annotation) -> Picture:
    """Return the picture of an annotation. Raise DamagedDataset where it cannot be one, MissingDataset without image.

    Only the image's header is decoded.
    """
    if not given.image.is_file():
        raise MissingDataset(f"{given.where}: its image {given.image} is not there; add it, or remove its annotation")
    with readable(given.image):
        data = given.image.read_bytes()
    size = opened(str(given.image), data).size
    if given.size is not None and given.size != size:
        stated = "x".join(map(str, given.size))
        raise DamagedDataset(
            given.where,
            f"says that {given.image} has {stated} pixels, and it has {size[0]}x{size[1]}",
            "give the image that was annotated (an orientation in EXIF is not applied)",
        )
    boxes = sorted(
        (_inside(box, size, given.where) for box in given.boxes),
        key=lambda box: (box.passed_over, box.name, box.corners),
    )
    return Picture(given.image, tuple(boxes), hashlib.sha256(data).hexdigest(), size)


def _inside(box: Box, size: tuple[int, int], where: str) -> Box:
    """Return a box with rounded coordinates inside its image; one without area is passed over."""
    width, height = size
    left, top, right, bottom = box.corners
    shown = f"the box {', '.join(f'{edge:g}' for edge in box.corners)} of a {box.name!r}"
    if not all(map(math.isfinite, box.corners)):
        raise DamagedDataset(where, f"{shown} has coordinates that are no numbers", "mend it, or remove it")
    if right < left or bottom < top:
        raise DamagedDataset(
            where, f"{shown} ends before it begins (left, top, right, bottom)", "mend it, or remove it"
        )
    if min(left, top) < -BEYOND or right > width + BEYOND or bottom > height + BEYOND:
        raise DamagedDataset(
            where, f"{shown} lies outside its image of {width}x{height} pixels", "mend it, or remove it"
        )
    edges = (max(0.0, left), max(0.0, top), min(float(width), right), min(float(height), bottom))
    corners: Corners = tuple(round(edge, DECIMALS) + 0.0 for edge in edges)  # type: ignore[assignment]
    empty = corners[2] <= corners[0] or corners[3] <= corners[1]
    return Box(box.name, corners, box.passed_over or empty)

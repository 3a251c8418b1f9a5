"""One small set of images with boxes, written as VOC, COCO and YOLO files."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

Thing = tuple[str, int, int, int, int]  # class; first and last pixel of each side, counted from 1, as VOC has them
Content = Mapping[str, Mapping[str, list[Thing]]]  # list -> image -> things
SIZE = (48, 32)
CLASSES = ("circle", "square")
CONTENT: Content = {
    "train": {
        "b": [("square", 3, 4, 12, 13), ("circle", 20, 10, 48, 32)],
        "a": [("circle", 1, 1, 10, 12)],
        "empty": [],
        "c": [("square", 30, 5, 41, 16)],
    },
    "val": {"e": [("square", 5, 5, 20, 21)], "f": [("circle", 7, 3, 18, 14)]},
    "test": {"d": [("circle", 11, 2, 30, 19), ("square", 33, 20, 44, 31)]},
}


def picture(name: str, things: list[Thing]) -> Image.Image:
    """A grey image of a shade of its own, on which things are bright: circles red, squares green."""
    pixels = np.full((SIZE[1], SIZE[0], 3), sum(name.encode()) % 60, np.uint8)
    for kind, left, top, right, bottom in things:
        pixels[top - 1 : bottom, left - 1 : right] = (250, 60, 60) if kind == "circle" else (60, 250, 60)
    return Image.fromarray(pixels)


def as_voc(place: Path, content: Content = CONTENT) -> Path:
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (place / folder).mkdir(parents=True)
    for list_, images in content.items():
        (place / "ImageSets/Main" / f"{list_}.txt").write_text("".join(f"{name}\n" for name in images))
        for name, things in images.items():
            picture(name, things).save(place / "JPEGImages" / f"{name}.png")
            (place / "Annotations" / f"{name}.xml").write_text(voc_text(name, things))
    return place


def voc_text(name: str, things: list[Thing], more: str = "") -> str:
    objects = "".join(
        f"<object><name>{kind}</name>{more}<bndbox><xmin>{left}</xmin><ymin>{top}</ymin><xmax>{right}</xmax>"
        f"<ymax>{bottom}</ymax></bndbox></object>"
        for kind, left, top, right, bottom in things
    )
    size = f"<size><width>{SIZE[0]}</width><height>{SIZE[1]}</height><depth>3</depth></size>"
    return f"<annotation><filename>{name}.png</filename>{size}{objects}</annotation>"


def as_coco(place: Path, content: Content = CONTENT) -> Path:
    (place / "annotations").mkdir(parents=True)
    numbers = {name: 7 - 3 * i for i, name in enumerate(CLASSES)}
    for list_, images in content.items():
        (place / f"{list_}2026").mkdir()
        annotations = []
        for number, (name, things) in enumerate(images.items()):
            picture(name, things).save(place / f"{list_}2026" / f"{name}.png")
            for kind, left, top, right, bottom in reversed(things):
                box = [left - 1, top - 1, right - left + 1, bottom - top + 1]
                annotations.append(
                    {"id": len(annotations), "image_id": number, "category_id": numbers[kind], "bbox": box}
                )
        document = {
            "images": [
                {"id": number, "file_name": f"{name}.png", "width": SIZE[0], "height": SIZE[1]}
                for number, name in enumerate(images)
            ],
            "annotations": annotations,
            "categories": [{"id": number, "name": name} for name, number in numbers.items()],
        }
        (place / "annotations" / f"instances_{list_}2026.json").write_text(json.dumps(document))
    return place


def as_yolo(place: Path, content: Content = CONTENT) -> Path:
    order = sorted(CLASSES, reverse=True)
    for list_, images in content.items():
        for folder in ("images", "labels"):
            (place / folder / list_).mkdir(parents=True)
        for name, things in images.items():
            picture(name, things).save(place / "images" / list_ / f"{name}.png")
            lines = [
                f"{order.index(kind)} {(left - 1 + right) / 2 / SIZE[0]:.6f} {(top - 1 + bottom) / 2 / SIZE[1]:.6f} "
                f"{(right - left + 1) / SIZE[0]:.6f} {(bottom - top + 1) / SIZE[1]:.6f}\n"
                for kind, left, top, right, bottom in things
            ]
            (place / "labels" / list_ / f"{name}.txt").write_text("".join(lines))
    (place / "data.yaml").write_text(f"names: [{', '.join(order)}]\ntrain: ../somewhere/else\n")
    return place


WRITERS: Mapping[str, Callable[..., Path]] = {"voc": as_voc, "coco": as_coco, "yolo": as_yolo}

"""Mean average precision, as COCO counts it (Lin et al. 2014), of what was found in each image.

What is kept of an image is a row of numbers: the boxes that were found, and those that are there.
"""

from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from lth_ray.config import ConfigError

MOST = 100  # detections of an image that count
FOUND, THERE = 6, 5  # numbers of a box: its corners, score and label; its corners and label


def check_counter() -> None:
    """Raise ConfigError where faster-coco-eval is not installed."""
    if find_spec("faster_coco_eval") is None:
        raise ConfigError('Boxes: mAP is counted by faster-coco-eval: pip install "lth_ray[detection]"')


def rows_of(detections: Sequence[Mapping[str, Tensor]], boxes: Tensor, labels: Tensor) -> Tensor:
    """Return a row for each image, float64 [B, MOST * FOUND + m * THERE]: of label 0 where there is no box.

    detections: "boxes" [n, 4], "scores" [n] and "labels" [n] of each image; of more than MOST those of the highest
    scores count. boxes, labels: as a batch has them, [B, m, 4] and [B, m]; a negative label's box is passed over.
    """
    there = torch.cat([boxes.double(), labels.double()[:, :, None]], 2).flatten(1)
    found = there.new_zeros(len(boxes), MOST, FOUND)
    for row, one in zip(found, detections, strict=True):
        best = one["scores"].float().argsort(descending=True, stable=True)[:MOST]
        columns = (one["boxes"][best], one["scores"][best, None], one["labels"][best, None])
        row[: len(best)] = torch.cat([column.double() for column in columns], 1)
    return torch.cat([found.flatten(1), there], 1)


def mean_precision(rows: Tensor) -> tuple[float, float]:
    """Return mAP@[.5:.95] and mAP@.5 over images, given their rows; NaN where no image has a box that counts."""
    from faster_coco_eval import COCO, COCOeval_faster

    split = MOST * FOUND
    found = rows[:, :split].reshape(len(rows), MOST, FOUND).cpu()
    there = rows[:, split:].reshape(len(rows), -1, THERE).cpu()
    truths: list[dict[str, Any]] = [
        {**_box(image, corners, abs(label)), "id": number, "iscrowd": int(label < 0)}
        for number, (image, (*corners, label)) in enumerate(_boxes(there), start=1)
    ]
    guesses = [{**_box(image, corners, label), "score": score} for image, (*corners, score, label) in _boxes(found)]
    if all(truth["iscrowd"] for truth in truths):
        return float("nan"), float("nan")
    if not guesses:
        return 0.0, 0.0
    labels = sorted({one["category_id"] for one in (*truths, *guesses)})
    images = [{"id": image} for image in range(1, len(rows) + 1)]
    categories = [{"id": label, "name": str(label)} for label in labels]
    annotated = COCO({"images": images, "annotations": truths, "categories": categories})
    counter = COCOeval_faster(annotated, annotated.loadRes(guesses), "bbox", print_function=lambda *_: None)
    counter.evaluate()
    counter.accumulate()
    counter.summarize()
    return float(counter.stats[0]), float(counter.stats[1])


def _boxes(given: Tensor) -> Iterable[tuple[int, list[float]]]:
    """Yield (image, numbers) of every box of images, numbered from 1; a label is the last number."""
    for image, boxes in enumerate(given, start=1):
        for numbers in boxes[boxes[:, -1] != 0].tolist():
            yield image, numbers


def _box(image: int, corners: Sequence[float], label: float) -> dict[str, Any]:
    left, top, right, bottom = corners
    width, height = right - left, bottom - top
    return {
        "image_id": image,
        "category_id": int(label),
        "bbox": [left, top, width, height],
        "area": width * height,
    }

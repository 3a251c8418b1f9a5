"""Mean average precision of hand-made detections."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from lth_ray.tasks.mean_precision import mean_precision, rows_of
from tests.tasks.detected import random_detections

pytest.importorskip("faster_coco_eval", reason="it counts mean average precision")


def found(*boxes: tuple[list[float], float, int]) -> dict[str, Tensor]:
    return {
        "boxes": torch.tensor([box for box, _, _ in boxes]).view(-1, 4),
        "scores": torch.tensor([score for _, score, _ in boxes]),
        "labels": torch.tensor([label for _, _, label in boxes], dtype=torch.int64),
    }


THERE = torch.tensor([[[0, 0, 10, 10], [20, 20, 40, 40]], [[5, 5, 15, 15], [0, 0, 0, 0]]], dtype=torch.float32)
LABELS = torch.tensor([[1, 2], [1, 0]])


def test_mean_precision_of_detections_that_are_right_and_of_none() -> None:
    right = [found(([0, 0, 10, 10], 0.9, 1), ([20, 20, 40, 40], 0.8, 2)), found(([5, 5, 15, 15], 0.7, 1))]
    assert mean_precision(rows_of(right, THERE, LABELS)) == (1.0, 1.0)
    assert mean_precision(rows_of([found(), found()], THERE, LABELS)) == (0.0, 0.0)
    nothing = mean_precision(rows_of(right, THERE, torch.zeros_like(LABELS)))
    assert all(value != value for value in nothing)


def test_mean_precision_by_hand() -> None:
    # class 1: overlap .8 in the first image, so that it counts at .5 to .8 (7 of 10), a false one scored higher, and
    # the second image's is missed; class 2: overlap 1.
    guesses = [
        found(([0, 0, 10, 8], 0.6, 1), ([20, 20, 40, 40], 0.9, 2)),
        found(([30, 30, 40, 40], 0.95, 1)),
    ]
    # at such an overlap precision is 1/2 up to recall 1/2: 51 of the 101 places of recall have it
    first = 51 / 101 / 2
    whole, half = mean_precision(rows_of(guesses, THERE, LABELS))
    assert whole == pytest.approx((0.7 * first + 1) / 2)
    assert half == pytest.approx((first + 1) / 2)


def test_a_box_that_is_passed_over_is_neither_missed_nor_wrong() -> None:
    passed_over = torch.tensor([[1, -2], [1, 0]])
    guesses = [found(([0, 0, 10, 10], 0.9, 1), ([20, 20, 40, 40], 0.99, 2)), found(([5, 5, 15, 15], 0.7, 1))]
    assert mean_precision(rows_of(guesses, THERE, passed_over)) == (1.0, 1.0)
    assert mean_precision(rows_of([found(guess_one(guesses[0])), guesses[1]], THERE, passed_over)) == (1.0, 1.0)


def guess_one(one: Mapping[str, Tensor]) -> tuple[list[float], float, int]:
    return one["boxes"][0].tolist(), float(one["scores"][0]), int(one["labels"][0])


def test_mean_precision_is_that_of_the_counter_itself() -> None:
    from faster_coco_eval import COCO, COCOeval_faster

    guesses, boxes, labels = random_detections(12)
    images: list[Any] = [{"id": i} for i in range(12)]
    truths, results = [], []
    for i in range(12):
        for (left, top, right, bottom), kind in zip(boxes[i].tolist(), labels[i].tolist(), strict=True):
            box = [left, top, right - left, bottom - top]
            area = box[2] * box[3]
            truths.append(
                {"id": len(truths) + 1, "image_id": i, "category_id": kind, "bbox": box, "area": area, "iscrowd": 0}
            )
        rows = zip(*(guesses[i][name].tolist() for name in ("boxes", "scores", "labels")), strict=True)
        for (left, top, right, bottom), score, kind in rows:
            box = [left, top, right - left, bottom - top]
            results.append({"image_id": i, "category_id": kind, "bbox": box, "score": score})
    coco = COCO({"images": images, "annotations": truths, "categories": [{"id": k, "name": str(k)} for k in (1, 2, 3)]})
    counter = COCOeval_faster(coco, coco.loadRes(results), "bbox", print_function=lambda *_: None)
    counter.run()
    ours = mean_precision(rows_of(guesses, boxes, labels))
    assert ours == pytest.approx(tuple(counter.stats[:2]), abs=1e-12)
    assert 0.1 < ours[0] < ours[1] < 1


def test_no_detection_beyond_a_hundred_counts() -> None:
    many = [([50.0, 50, 60, 60], 0.5 + i / 1000, 1) for i in range(100)]
    guesses = [found(*many, ([0, 0, 10, 10], 0.1, 1)), found(([5, 5, 15, 15], 0.7, 1))]
    _, half = mean_precision(rows_of(guesses, THERE, torch.tensor([[1, 0], [1, 0]])))
    assert half == pytest.approx(51 / 101)  # the second image's alone, the first by its score

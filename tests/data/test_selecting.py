"""Some classes of a set, its halves, and grey images in three channels."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lth_ray.config import ConfigError, Data, Model, Train, meaning, steps
from lth_ray.data import identify, load
from lth_ray.data.selecting import training_rows
from lth_ray.data.sets.digits import digits_source
from lth_ray.training import Recipe

DIGITS = Data("digits", batch_size=60, validation=0)


def rows_of(images: torch.Tensor) -> set[bytes]:
    return {bytes(image.numpy()) for image in images}


def test_halves_share_no_image_and_have_half_of_every_class() -> None:
    whole, *halves = (load(replace(DIGITS, part=part)).train for part in (None, "a", "b"))
    first, second = (half.labels.bincount() for half in halves)
    assert torch.equal(first + second, whole.labels.bincount())
    assert set((first - second).tolist()) <= {0, 1}
    stored = digits_source().labels()[0]
    a, b = (training_rows(stored, replace(DIGITS, part=part)) for part in "ab")
    assert sorted([*a, *b]) == list(range(len(stored)))
    assert torch.equal(halves[0].images, whole.images[torch.from_numpy(a)])  # in the set's order
    assert [identify(replace(DIGITS, part=part)).n_train for part in "ab"] == [len(a), len(b)]
    assert identify(replace(DIGITS, part="a")).n_test == 400


def test_what_is_held_out_of_a_half_is_of_that_half() -> None:
    a = replace(DIGITS, part="a", validation=100, train_images=50)
    data, other = load(a), load(replace(DIGITS, part="b"))
    assert data.validation is not None
    mine = rows_of(data.train.images) | rows_of(data.validation.images)
    assert (len(data.train), len(data.validation)) == (50, 100)
    assert not mine & rows_of(other.train.images)
    assert load(replace(DIGITS, part="a", split_seed=1)).train.labels.tolist() != data.train.labels.tolist()


def test_halves_are_pinned() -> None:
    labels = np.array([0, 1] * 5)
    assert training_rows(labels, replace(DIGITS, part="a")).tolist() == [2, 3, 5, 6, 7, 8]


def test_classes_are_numbered_in_the_order_given() -> None:
    chosen = replace(DIGITS, classes=[7, 2])
    data, whole, identity = load(chosen), load(DIGITS), identify(chosen)
    assert (data.num_classes, identity.num_classes) == (2, 2)
    kept = (whole.train.labels == 7) | (whole.train.labels == 2)
    assert torch.equal(data.train.images, whole.train.images[kept])
    assert torch.equal(data.train.labels, (whole.train.labels[kept] == 2).long())
    assert (identity.n_train, identity.n_test) == (len(data.train), len(data.test))
    assert set(data.test.labels.tolist()) == {0, 1}
    labels = load(replace(chosen, target="random_labels")).train.labels
    assert set(labels.tolist()) == {0, 1}
    assert load(replace(chosen, part="a")).train.labels.numel() == identify(replace(chosen, part="a")).n_train


def test_grey_images_in_three_channels(shared_data: Path) -> None:
    grey = Data("fashion_mnist", batch_size=60, validation=0)
    plain, coloured = load(grey, shared_data), load(replace(grey, channels=3), shared_data)
    assert identify(replace(grey, channels=3), shared_data).input_shape == coloured.input_shape == (3, 28, 28)
    assert (coloured.mean, coloured.std) == (plain.mean * 3, plain.std * 3)
    assert all(torch.equal(coloured.train.images[:100, i], plain.train.images[:100, 0]) for i in range(3))
    assert coloured.test.images.is_contiguous()
    assert load(replace(DIGITS, channels=3)).mean == load(DIGITS).mean * 3  # measured


def test_keys_of_sets_used_whole_stay() -> None:
    identity = identify(DIGITS)
    keys = []
    for changes in ({}, {"part": "a"}, {"part": "b"}, {"classes": [0, 1]}, {"channels": 3}):
        data: Any = replace(DIGITS, **changes)
        keys.append(Recipe(Model("lenet_5"), data, Train(steps(4), lr=0.1), identity).meaning()["data"])
    assert not {"part", "classes", "channels"} & keys[0].keys()
    assert len({str(key) for key in keys}) == len(keys)
    assert meaning(replace(DIGITS, classes=[3, 1]))["classes"] == [3, 1]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"classes": [0, 10]}, r"Data.classes = \[0, 10\]: the set has classes 0 to 9, and not \[10\]"),
        ({"classes": [0, 0]}, "an entry is given twice"),
        ({"classes": [4]}, "give a list of classes of at least 2"),
        ({"part": "c"}, "Data.part = 'c'"),
        ({"channels": 2}, "Data.channels = 2"),
        ({"part": "a", "validation": 700}, "Data.validation = 700: there are 700 training images in all"),
        ({"name": "packed:x", "part": "a"}, "Data.part = 'a': packed sets are used whole"),
        ({"name": "places365", "classes": [1, 2]}, r"Data.classes = \(1, 2\): packed sets are used whole"),
    ],
)
def test_one_clear_error(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        identify(replace(DIGITS, **fields))

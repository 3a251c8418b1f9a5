"""Data sets of pretraining and warm starts: other labels, blurred images, fewer of them."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lth_ray.config import ConfigError, Data, digest, meaning
from lth_ray.data import Batches, Dataset, Identity, evaluation_batches, identify, load, training_batches
from lth_ray.data.changes import blurred
from lth_ray.data.dataset import Split, random_labels

DIGITS = Data("digits", batch_size=50, validation=200)
VARIANTS: dict[str, dict[str, Any]] = {
    "rotation": {"target": "rotation"},
    "random labels": {"target": "random_labels"},
    "blur": {"blur": 4},
    "blur and rotation": {"blur": 4, "target": "rotation"},
    "some images": {"train_images": 300},
}
GOLDEN_LABELS = [5, 5, 2, 0, 3, 6, 2, 9, 4, 5, 7, 8]
each = pytest.mark.parametrize("fields", VARIANTS.values(), ids=VARIANTS)


def sizes(dataset: Dataset) -> Identity:
    assert dataset.validation is not None
    counts = len(dataset.train), len(dataset.validation), len(dataset.test)
    return Identity(dataset.digest, *counts, dataset.input_shape, dataset.num_classes)


def rows(split: Split) -> set[bytes]:
    return {image.numpy().tobytes() for image in split.images}


@each
def test_what_is_identified_is_what_is_loaded(fields: dict[str, Any]) -> None:
    data = replace(DIGITS, **fields)
    identity, dataset, plain = identify(data), load(data), load(DIGITS)
    assert sizes(dataset) == identity
    assert (identity.digest, dataset.mean, dataset.std) == (plain.digest, plain.mean, plain.std)
    assert identity.num_classes == (4 if data.target == "rotation" else 10)
    assert identity.n_train == (data.train_images or 1197)


def test_fields_move_a_key_where_they_are_not_at_their_defaults() -> None:
    keys = {digest("trajectory", meaning(replace(DIGITS, **fields))) for fields in ({}, *VARIANTS.values())}
    assert len(keys) == 1 + len(VARIANTS)
    assert not {"target", "blur", "train_images"} & meaning(DIGITS).keys()


@each
def test_batches_are_a_function_of_the_step(fields: dict[str, Any]) -> None:
    dataset = load(replace(DIGITS, **fields))

    def make() -> Batches:
        return Batches(dataset.train, dataset.mean, dataset.std, 50, 1, 2, "crop_flip", 1)

    forwards = [(batches := make()).batch(0), *(batches.batch(step) for step in range(1, 30))]
    for step in (29, 6, 17):
        for found, expected in zip(make().batch(step), forwards[step], strict=True):
            assert torch.equal(found, expected)


def test_random_labels_are_golden_and_uniform() -> None:
    """Changing a value here moves every result of random-label pretraining."""
    split = Split(torch.zeros(40_000, 1, 1, 1, dtype=torch.uint8), torch.zeros(40_000, dtype=torch.int64))
    assert random_labels(split, 10, 0).labels[:12].tolist() == GOLDEN_LABELS
    for classes in (2, 10, 100):
        counts = torch.bincount(random_labels(split, classes, 3).labels, minlength=classes)
        expected = 40_000 / classes
        assert len(counts) == classes
        assert (counts - expected).abs().max() < 5 * expected**0.5


def test_a_random_label_belongs_to_its_image() -> None:
    """Whatever is held out and however many images are trained on; test images keep their own."""
    random = replace(DIGITS, target="random_labels")
    plain, dataset = load(DIGITS), load(random)
    assert torch.equal(dataset.train.images, plain.train.images)
    assert torch.equal(dataset.test.labels, plain.test.labels)
    for name in ("train", "validation"):
        drawn, true = getattr(dataset, name).labels, getattr(plain, name).labels
        assert 0.05 < float((drawn == true).float().mean()) < 0.17
    everything = load(replace(random, validation=0)).train
    keys = (image.numpy().tobytes() for image in everything.images)
    by_image = dict(zip(keys, everything.labels.tolist(), strict=True))
    for split in (dataset.train, dataset.validation, load(replace(random, train_images=100)).train):
        assert split is not None
        for image, label in zip(split.images, split.labels, strict=True):
            assert by_image[image.numpy().tobytes()] == int(label)
    assert not torch.equal(load(replace(random, split_seed=1, validation=0)).train.labels, everything.labels)


def test_blur_is_for_every_split() -> None:
    plain, dataset = load(DIGITS), load(replace(DIGITS, blur=4))
    for name in ("train", "validation", "test"):
        before, after = getattr(plain, name), getattr(dataset, name)
        assert torch.equal(after.images, blurred(before.images, 4))
        assert torch.equal(after.labels, before.labels)


@pytest.mark.parametrize("changes", [{}, {"channels": 3}], ids=["grey", "three channels"])
def test_channels_that_are_not_standardised_are_between_0_and_1(changes: dict[str, Any]) -> None:
    data = replace(DIGITS, standardise=False, **changes)
    dataset = load(data)
    [(seen, _), *_] = evaluation_batches(dataset.test, dataset.mean, dataset.std)
    assert torch.equal(seen, dataset.test.images[: len(seen)] * torch.tensor(1 / dataset.test.white))
    trained, _ = training_batches(dataset, data, 1, 2).batch(0)
    assert (trained.min(), trained.max()) == (0, 1)
    assert load(DIGITS).mean != dataset.mean == (0.0,) * dataset.input_shape[0]
    assert meaning(data)["standardise"] is False
    assert "standardise" not in meaning(DIGITS)


def test_rotation_is_for_every_split() -> None:
    plain, dataset = load(DIGITS), load(replace(DIGITS, target="rotation"))
    for name in ("train", "validation", "test"):
        before, after = getattr(plain, name), getattr(dataset, name)
        assert after.turned
        [(upright, _), *_] = evaluation_batches(before, plain.mean, plain.std)
        [(turned, labels), *_] = evaluation_batches(after, plain.mean, plain.std)
        assert set(labels.tolist()) == {0, 1, 2, 3}
        assert torch.equal(turned[labels == 1], upright[labels == 1].rot90(1, (2, 3)))


def test_fewer_training_images_are_part_of_more() -> None:
    subsets = [load(replace(DIGITS, train_images=n)) for n in (1, 10, 300, 1196, 1197)]
    for smaller, larger in pairwise(subsets):
        assert rows(smaller.train) < rows(larger.train)
    plain = load(DIGITS)
    assert torch.equal(subsets[-1].train.images, plain.train.images)
    for dataset in subsets:
        assert dataset.validation is not None
        assert plain.validation is not None
        assert torch.equal(dataset.validation.images, plain.validation.images)
    other = load(replace(DIGITS, train_images=300, split_seed=3))
    assert rows(other.train) != rows(subsets[2].train)


def test_all_but_those_held_out_follow_them_in_the_draw() -> None:
    """Trained on are the images that a larger validation set would take next."""
    ten = load(replace(DIGITS, validation=0, train_images=10)).train
    held_out = load(replace(DIGITS, validation=10)).validation
    assert held_out is not None
    assert torch.equal(ten.images, held_out.images)


@pytest.mark.parametrize("ask", [identify, load])
@pytest.mark.parametrize(
    ("fields", "why"),
    [
        (
            {"train_images": 1198},
            r"Data.train_images = 1198: there are 1397 training images, 200 of them held out; .*1197",
        ),
        ({"blur": 3}, r"Data.blur = 3: it must divide the images' sides, 8 and 8 pixels"),
        ({"blur": 16}, r"Data.blur = 16: it must divide"),
    ],
)
def test_one_clear_error(ask: Callable[[Data], Any], fields: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        ask(replace(DIGITS, **fields))


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"train_images": 0}, r"Data.train_images = 0: give a whole number of at least 1"),
        ({"blur": 0}, r"Data.blur = 0: give a whole number of at least 1"),
        ({"target": "rotate"}, r"Data.target = 'rotate': did you mean rotation"),
    ],
)
def test_fields_are_checked_when_data_is_declared(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        Data("digits", batch_size=50, validation=0, **fields)


def test_images_that_are_not_square_cannot_be_turned(
    tmp_path: Path, write_parquet: Any, encode: Any, random_images: Any
) -> None:
    for split in ("train", "test"):
        images = [encode(image) for image in random_images(4, 6, 8)]
        write_parquet(tmp_path / f"{split}-0.parquet", images, [0, 1, 0, 1])
    oblong = Data(f"parquet:{tmp_path}", batch_size=2, validation=0, target="rotation")
    for ask in (identify, load):
        with pytest.raises(ConfigError, match=r"Data.target = 'rotation': only square images .* these have 6x8 pixels"):
            ask(oblong)
    assert identify(replace(oblong, image_size=6)).num_classes == 4
    halved = load(replace(oblong, target="labels", blur=2))
    assert np.array_equal(halved.test.images[0], blurred(torch.from_numpy(decoded(random_images)), 2)[0])


def decoded(random_images: Any) -> np.ndarray:
    return np.ascontiguousarray(random_images(4, 6, 8).transpose(0, 3, 1, 2))

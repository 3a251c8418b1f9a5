"""Batches of packed sets depend on (seeds, step) alone; evaluation takes every image once."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from lth_ray.config import ConfigError, Data
from lth_ray.data import (
    DamagedDataset,
    Dataset,
    MissingDataset,
    evaluation_batches,
    identify,
    load,
    permutation,
    training_batches,
)
from lth_ray.data.batches import Normalisation
from lth_ray.data.cropping import CROP_WORDS, centred, cropped, decode, random_crop
from lth_ray.data.order import image_words
from lth_ray.data.packed.reading import PackedSplit

SIZE = 16


@pytest.fixture
def packed(photo_folder, pack, tmp_path: Path) -> Path:
    """14 training images and 6 to test on, in several shards."""
    pack(photo_folder(tmp_path / "source"), tmp_path / "packed")
    return tmp_path / "packed"


def data(packed: Path, **fields: Any) -> Data:
    given = {"batch_size": 4, "validation": 0, "augment": "resized_crop_flip", "image_size": SIZE} | fields
    return Data(f"packed:{packed}", **given)


def batch(config: Data, step: int, part: range | None = None, loaders: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    batches = training_batches(load(config, loaders=loaders), config, 1, 2, part)
    try:
        return batches.batch(step)
    finally:
        batches.close()


def pixels(dataset: Dataset, position: int) -> tuple[torch.Tensor, int]:
    assert isinstance(dataset.train, PackedSplit)
    row = dataset.train.shards.row(int(dataset.train.rows[position]))
    return decode(row.data, row.where), row.label


@pytest.mark.parametrize("augment", ["none", "flip", "resized_crop_flip"])
@pytest.mark.parametrize("validation", [0, 3])
def test_a_batch_is_its_images_cropped_by_hand(packed: Path, augment: str, validation: int) -> None:
    config = data(packed, augment=augment, validation=validation)
    dataset = load(config)
    normalise = Normalisation(dataset.mean, dataset.std, 255, torch.device("cpu"))
    n = 14 - validation
    for step in (0, 1, 5, 7):
        inputs, labels = batch(config, step)
        assert inputs.shape == (4, 3, SIZE, SIZE)
        assert (inputs.dtype, labels.dtype) == (torch.float32, torch.int64)
        epoch, index = divmod(step, n // 4)
        order = permutation(1, epoch, n)
        for i in range(4):
            image, label = pixels(dataset, order[index * 4 + i])
            words = image_words(2, epoch, index * 4 + i, CROP_WORDS)
            if augment == "resized_crop_flip":
                expected = cropped(image, random_crop(*image.shape[1:], words), SIZE)
            else:
                expected = centred(image, SIZE, flip=augment == "flip" and words[-1] >= 2**63)
            assert torch.equal(inputs[i], normalise(expected))
            assert int(labels[i]) == label


@pytest.mark.parametrize("augment", ["none", "resized_crop_flip"])
def test_neither_part_nor_start_changes_a_batch(packed: Path, augment: str) -> None:
    config = data(packed, augment=augment)
    batches = training_batches(load(config), config, 1, 2)
    assert batches.steps_per_epoch == 3
    forwards = [batches.batch(step) for step in range(8)]
    for step in (7, 2, 5, 0, 3):
        for cuts in ((0, 4), (0, 2, 4), (0, 1, 3, 4)):
            parts = [batch(config, step, range(a, b)) for a, b in pairwise(cuts)]
            for found, expected in zip(map(torch.cat, zip(*parts, strict=True)), forwards[step], strict=True):
                assert torch.equal(found, expected)
    assert torch.equal(batches.batch(2)[0], forwards[2][0])


def test_loaders_change_nothing(packed: Path) -> None:
    """Processes that decode ahead give the same bits, wherever one starts and after a jump."""
    config = data(packed)
    here = training_batches(load(config), config, 1, 2)
    before = torch.get_rng_state()
    for loaders in (1, 2):
        dataset = load(config, loaders=loaders)
        there = training_batches(dataset, config, 1, 2, range(1, 4))
        for step in (5, 6, 7, 8, 2, 3):
            for found, expected in zip(there.batch(step), here.batch(step), strict=True):
                assert torch.equal(found, expected[1:4])
        there.close()
        inputs = [list(evaluation_batches(load(config, loaders=n).test, (0.0,), (1.0,), 4)) for n in (0, loaders)]
        assert [len(labels) for _, labels in inputs[1]] == [4, 2]
        for found, expected in zip(*inputs, strict=True):
            assert torch.equal(found[0], expected[0])
            assert torch.equal(found[1], expected[1])
    assert torch.equal(torch.get_rng_state(), before)


SCRIPT = """
import pathlib, sys
with pathlib.Path(sys.argv[2]).open("a") as log:
    log.write(__name__ + "\\n")
from lth_ray.config import Data
from lth_ray.data import evaluation_batches, load
config = Data(f"packed:{sys.argv[1]}", batch_size=4, validation=0, augment="resized_crop_flip", image_size=16)
dataset = load(config, loaders=2)
for _ in range(2):
    print(sum(len(labels) for _, labels in evaluation_batches(dataset.test, (0.0,), (1.0,), 4)))
"""


def test_loaders_do_not_import_the_script_that_starts_them(packed: Path, tmp_path: Path) -> None:
    """Nor the whole of Ray, where that is a worker's main module."""
    script, log = tmp_path / "script.py", tmp_path / "log"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(packed), str(log)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert said.stdout.split() == ["6", "6"]
    assert log.read_text().split() == ["__main__"]


@pytest.mark.parametrize("world", [1, 2, 3, 4, 6, 7])
@pytest.mark.parametrize("first", [6, 5])
def test_evaluation_takes_every_image_once(packed: Path, world: int, first: int) -> None:
    dataset = load(data(packed))
    [(whole, all_labels)] = evaluation_batches(dataset.test.first(first), dataset.mean, dataset.std)
    assert len(all_labels) == first
    shares = [
        list(evaluation_batches(dataset.test.first(first), dataset.mean, dataset.std, size=2, share=(rank, world)))
        for rank in range(world)
    ]
    assert max(len(labels) for share in shares for _, labels in share) <= 2
    assert torch.equal(torch.cat([inputs for share in shares for inputs, _ in share]), whole)
    assert torch.equal(torch.cat([labels for share in shares for _, labels in share]), all_labels)


def test_evaluation_takes_the_centre(packed: Path) -> None:
    dataset = load(data(packed))
    assert isinstance(dataset.test, PackedSplit)
    [(inputs, labels)] = evaluation_batches(dataset.test, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    for i, image in enumerate(inputs):
        row = dataset.test.shards.row(i)
        short = centred(decode(row.data, ""), SIZE)
        torch.testing.assert_close(image, short.float() / 255)
        assert int(labels[i]) == row.label


def test_held_out_images_are_not_trained_on(packed: Path) -> None:
    dataset = load(data(packed, validation=5))
    fewer = load(data(packed, validation=5, train_images=3))
    assert isinstance(dataset.train, PackedSplit)
    assert isinstance(dataset.validation, PackedSplit)
    assert isinstance(fewer.train, PackedSplit)
    train, held_out = set(dataset.train.rows.tolist()), set(dataset.validation.rows.tolist())
    assert (len(train), len(held_out), len(fewer.train)) == (9, 5, 3)
    assert sorted(train | held_out) == list(range(14))
    assert set(fewer.train.rows.tolist()) < train
    identity = identify(data(packed, validation=5, train_images=3))
    assert (identity.n_train, identity.n_validation, identity.n_test) == (3, 5, 6)


def test_random_labels_belong_to_their_images(packed: Path) -> None:
    def labelled(validation: int) -> dict[int, int]:
        dataset = load(data(packed, target="random_labels", validation=validation))
        found = {}
        for split in (dataset.train, dataset.validation):
            if split is not None:
                assert isinstance(split, PackedSplit)
                labels = torch.cat([labels for _, labels in evaluation_batches(split, (0.0,), (1.0,))])
                found |= dict(zip(split.rows.tolist(), labels.tolist(), strict=True))
        assert dataset.test.labels is None
        return found

    assert labelled(0) == labelled(4)
    plain = load(data(packed))
    [(_, true)] = evaluation_batches(plain.train, (0.0,), (1.0,))
    assert [labelled(0)[i] for i in range(14)] != true.tolist()
    config = data(packed, target="random_labels")
    labels = training_batches(load(config), config, 1, 2).batch(0)[1]
    assert labels.tolist() == [labelled(0)[i] for i in permutation(1, 0, 14)[:4]]


@pytest.mark.parametrize("loaders", [0, 1])
def test_an_image_that_is_damaged_since_is_named(packed: Path, loaders: int) -> None:
    config = data(packed)
    dataset = load(config, loaders=loaders)
    assert isinstance(dataset.train, PackedSplit)
    row = dataset.train.shards.row(0)
    shard = packed / "train-00000.arrow"
    stored = shard.read_bytes()
    at = stored.index(bytes(row.data))
    dataset.train.shards._open.clear()
    shard.write_bytes(stored[:at] + bytes(len(row.data)) + stored[at + len(row.data) :])
    batches = training_batches(dataset, config, 1, 2)
    with pytest.raises(DamagedDataset, match=r"train-00000.arrow, row 0: is not an image that can be read"):
        list(map(batches.batch, range(3)))
    batches.close()


@pytest.mark.parametrize("ask", [identify, load])
@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"augment": "crop_flip"}, r"Data.augment = 'crop_flip': .* use 'none', 'flip', 'resized_crop_flip'"),
        ({"blur": 2}, r"Data.blur = 2: packed sets are not blurred"),
        ({"target": "rotation"}, r"Data.target = 'rotation': images of packed sets are not turned"),
        ({"validation": 14}, r"Data.validation = 14: there are 14 training images"),
    ],
)
def test_what_packed_sets_do_not_do(packed: Path, ask: Any, fields: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        ask(data(packed, **fields))


@pytest.mark.parametrize("ask", [identify, load])
def test_what_only_packed_sets_do(ask: Any) -> None:
    with pytest.raises(ConfigError, match=r"Data.augment = 'resized_crop_flip': only for packed sets"):
        ask(Data("digits", batch_size=4, validation=0, augment="resized_crop_flip"))


def test_batches_and_parts_are_checked(packed: Path) -> None:
    with pytest.raises(ConfigError, match=r"Data.batch_size = 15: there are 14 training images; give at most that"):
        batch(data(packed, batch_size=15), 0)
    for part in (range(0), range(0, 4, 2), range(2, 5)):
        with pytest.raises(ValueError, match=r"give a contiguous range inside range\(4\)"):
            batch(data(packed), 0, part)


def test_a_set_that_is_not_packed_says_how(tmp_path: Path) -> None:
    with pytest.raises(MissingDataset, match=r"no manifest.json in .*imagenet .*`lth-ray data pack SOURCE .*imagenet`"):
        identify(Data("imagenet", batch_size=4, validation=0), tmp_path)
    with pytest.raises(ConfigError, match=r"Data.name = 'packed:': give the folder"):
        identify(Data("packed:", batch_size=4, validation=0), tmp_path)


def test_imagenet_is_a_packed_set_in_the_data_root(packed: Path, tmp_path: Path) -> None:
    packed.rename(tmp_path / "imagenet")
    found = identify(Data("imagenet", batch_size=4, validation=0), tmp_path)
    assert (found.n_train, found.num_classes, found.input_shape) == (14, 2, (3, 224, 224))

"""Batches are a function of the step alone."""

from itertools import pairwise

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from lth_ray.config import ConfigError, Data
from lth_ray.data import Batches, Dataset, Split, draws, evaluation_batches, permutation, training_batches
from lth_ray.data.batches import Normalisation
from lth_ray.data.changes import map_codes

MEAN, STD = (0.5, 0.25, 0.125), (0.25, 0.5, 0.3)


def numbered(n: int = 47, shape: tuple[int, int, int] = (3, 6, 5)) -> Split:
    """Random images; the label of each is its position."""
    pixels = torch.randint(0, 256, (n, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(n))
    return Split(pixels, torch.arange(n))


def make(split: Split | None = None, augment: str = "none", seeds: tuple[int, int] = (1, 2), size: int = 10) -> Batches:
    return Batches(split or numbered(), MEAN, STD, size, *seeds, augment, padding=2)


@pytest.mark.parametrize("augment", ["none", "flip", "crop_flip"])
def test_a_batch_does_not_depend_on_where_one_starts(augment: str) -> None:
    batches = make(augment=augment)
    forwards = [batches.batch(step) for step in range(13)]
    for step in (12, 3, 7, 0, 11, 4):
        for again in (make(augment=augment), batches):
            inputs, labels = again.batch(step)
            assert torch.equal(inputs, forwards[step][0])
            assert torch.equal(labels, forwards[step][1])


def test_an_epoch_is_the_golden_order_and_drops_the_rest() -> None:
    batches = make()
    assert batches.steps_per_epoch == 4
    for epoch in range(3):
        labels = torch.cat([batches.batch(epoch * 4 + i)[1] for i in range(4)])
        assert labels.tolist() == permutation(1, epoch, 47)[:40].tolist()


def test_inputs_are_the_images_of_the_labels() -> None:
    split = numbered()
    inputs, labels = make(split).batch(5)
    assert inputs.shape == (10, 3, 6, 5)
    assert inputs.dtype == torch.float32
    assert inputs.is_contiguous()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    expected = (split.images[labels].double() / 255 - mean) / std
    torch.testing.assert_close(inputs.double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("augment", "padding"), [("flip", 0), ("crop_flip", 2)])
def test_augmentation_equals_a_loop_over_images(augment: str, padding: int) -> None:
    split, side = numbered(), 2 * padding + 1
    for step in (0, 3, 9):
        inputs, labels = make(split, augment).batch(step)
        epoch, index = divmod(step, 4)
        codes = map_codes(draws(2, epoch, 47), padding)[index * 10 : index * 10 + 10].tolist()
        for image, label, code in zip(inputs, labels, codes, strict=True):
            (dy, dx), flip = divmod(code // 2, side), code % 2
            padded = torch.zeros(3, 6 + 2 * padding, 5 + 2 * padding, dtype=torch.uint8)
            padded[:, padding : padding + 6, padding : padding + 5] = split.images[label]
            crop = padded[:, dy : dy + 6, dx : dx + 5]
            crop = crop.flip(-1) if flip else crop
            normal = Normalisation(MEAN, STD, 255, torch.device("cpu"))(crop)
            assert torch.equal(image, normal)


def test_the_order_and_the_augmentation_have_seeds_of_their_own() -> None:
    seeds = [(1, 2), (3, 2), (1, 4)]
    base, other_order, other_augmentation = (make(augment="crop_flip", seeds=pair).batch(0) for pair in seeds)
    assert not torch.equal(base[1], other_order[1])
    assert torch.equal(base[1], other_augmentation[1])
    assert not torch.equal(base[0], other_augmentation[0])


@pytest.mark.parametrize("channels", [1, 3])
def test_a_value_depends_on_its_pixel_alone(channels: int) -> None:
    """Bitwise, whatever its place in a batch: vectorised and remaining elements are rounded alike."""
    normalise = Normalisation(MEAN[:channels], STD[:channels], 255, torch.device("cpu"))
    table = torch.stack([normalise(torch.full((channels, 1, 1), v, dtype=torch.uint8))[:, 0, 0] for v in range(256)])
    pixels = torch.randint(0, 256, (7, channels, 1, 37), dtype=torch.uint8)
    for channel in range(channels):
        assert torch.equal(normalise(pixels)[:, channel], table[:, channel][pixels[:, channel].long()])


def test_white_is_one() -> None:
    split = Split(torch.tensor([0, 8, 16], dtype=torch.uint8).view(3, 1, 1, 1), torch.arange(3), white=16)
    [(inputs, _)] = evaluation_batches(split, (0.0,), (1.0,))
    assert inputs.flatten().tolist() == [0.0, 0.5, 1.0]


def test_evaluation_takes_every_image_once_and_in_order() -> None:
    split = numbered()
    parts = list(evaluation_batches(split, MEAN, STD, size=20))
    assert [len(labels) for _, labels in parts] == [20, 20, 7]
    assert torch.equal(torch.cat([labels for _, labels in parts]), split.labels)
    [(whole, _)] = evaluation_batches(split, MEAN, STD)
    assert torch.equal(torch.cat([inputs for inputs, _ in parts]), whole)


@pytest.mark.parametrize(
    ("shape", "device", "batches"),
    [
        ((1, 28, 28), "cpu", 5), ((1, 28, 28), "cuda", 1), ((3, 32, 32), "cuda", 4), ((3, 64, 64), "cuda", 5),
    ],
)  # fmt: skip
def test_a_gpu_evaluates_more_small_images_at_a_time(shape: tuple[int, ...], device: str, batches: int) -> None:
    """Without a GPU: on tensors of which only shape and device are known."""
    with FakeTensorMode():
        images = torch.empty(10_000, *shape, dtype=torch.uint8, device=device)
        split = Split(images, torch.empty(10_000, dtype=torch.int64, device=device))
        sizes = [len(inputs) for inputs, _ in evaluation_batches(split, (0.0,), (1.0,))]
    assert (len(sizes), sum(sizes)) == (batches, 10_000)


def test_a_batch_larger_than_the_set_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Data.batch_size = 48: there are 47 training images"):
        make(size=48)


def test_images_are_not_changed_by_batches() -> None:
    split = numbered()
    before = split.images.clone()
    batches = make(split, "crop_flip")
    for step in range(5):
        batches.batch(step)[0].zero_()
    assert torch.equal(split.images, before)


@pytest.mark.parametrize("augment", ["none", "flip", "crop_flip"])
@pytest.mark.parametrize("cuts", [(0, 10), (0, 5, 10), (0, 1, 4, 10)])
def test_the_parts_of_a_batch_make_it_up(augment: str, cuts: tuple[int, ...]) -> None:
    split = numbered()
    dataset = Dataset(split, None, split, 47, (3, 6, 5), MEAN, STD, "")
    data = Data("digits", batch_size=10, validation=0, augment=augment, augment_padding=2)
    whole = training_batches(dataset, data, 1, 2)
    parts = [training_batches(dataset, data, 1, 2, range(a, b)) for a, b in pairwise(cuts)]
    for step in (0, 3, 6):
        expected = whole.batch(step)
        assert torch.equal(expected[0], make(split, augment).batch(step)[0])
        found = map(torch.cat, zip(*(part.batch(step) for part in parts), strict=True))
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("part", [range(0), range(0, 10, 2), range(5, 11), range(-1, 3)])
def test_a_part_lies_inside_the_batch(part: range) -> None:
    with pytest.raises(ValueError, match=r"give a contiguous range inside range\(10\)"):
        Batches(numbered(), MEAN, STD, 10, 1, 2, part=part)


@pytest.mark.parametrize("world", [1, 2, 3, 5, 47, 60])
def test_shares_of_an_evaluation_take_every_image_once(world: int) -> None:
    split = numbered()
    labels = [
        labels for rank in range(world) for _, labels in evaluation_batches(split, MEAN, STD, 7, share=(rank, world))
    ]
    assert torch.cat(labels).tolist() == list(range(47))
    with pytest.raises(ValueError, match=r"give .rank, world. with 0 <= rank < world"):
        list(evaluation_batches(split, MEAN, STD, share=(world, world)))

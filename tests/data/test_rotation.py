"""Images turned by quarters, the number of which is the label."""

import pytest
import torch

from lth_ray.data import Batches, Split, draws, evaluation_batches
from lth_ray.data.batches import Normalisation
from lth_ray.data.changes import apply_maps, to_be_turned, turn_codes, turn_maps
from lth_ray.data.order import TURNS, permutation

MEAN, STD = (0.5, 0.25), (0.25, 0.5)
GOLDEN_TURNS = [1, 2, 1, 1, 1, 0, 0, 3, 2, 3, 0, 3]


def upright(n: int = 47) -> Split:
    pixels = torch.randint(0, 256, (n, 2, 6, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(n))
    return Split(pixels, torch.arange(n))


def normal(pixels: torch.Tensor) -> torch.Tensor:
    return Normalisation(MEAN, STD, 255, torch.device("cpu"))(pixels)


def make(split: Split, augment: str = "none", seeds: tuple[int, int] = (1, 2)) -> Batches:
    return Batches(split, MEAN, STD, 10, *seeds, augment, padding=1)


def test_quarters_by_hand() -> None:
    image = torch.tensor([[[[1, 2], [3, 4]]]], dtype=torch.uint8)
    turned = apply_maps(image.expand(4, -1, -1, -1), turn_maps(2))
    assert turned.flatten(1).tolist() == [[1, 2, 3, 4], [2, 4, 1, 3], [4, 3, 2, 1], [3, 1, 4, 2]]


def test_golden_turns() -> None:
    """Changing a value here moves every result of rotation pretraining."""
    assert turn_codes(draws(0, 0, 12, TURNS)).tolist() == GOLDEN_TURNS
    counts = torch.bincount(torch.from_numpy(turn_codes(draws(5, 3, 40_000, TURNS))), minlength=4)
    assert (counts - 10_000).abs().max() < 400


@pytest.mark.parametrize("augment", ["none", "flip", "crop_flip"])
def test_training_turns_each_image_after_its_augmentation(augment: str) -> None:
    split = upright()
    turned, plain = make(to_be_turned(split), augment), make(split, augment)
    for step in (0, 3, 9):
        inputs, labels = turned.batch(step)
        epoch, index = divmod(step, 4)
        expected = turn_codes(draws(2, epoch, 47, TURNS))[index * 10 : index * 10 + 10]
        assert labels.tolist() == expected.tolist()
        for image, before, quarters in zip(inputs, plain.batch(step)[0], labels, strict=True):
            assert torch.equal(image, before.rot90(int(quarters), (1, 2)))


@pytest.mark.parametrize("augment", ["none", "crop_flip"])
def test_a_batch_does_not_depend_on_where_one_starts(augment: str) -> None:
    split = to_be_turned(upright())
    batches = make(split, augment)
    forwards = [batches.batch(step) for step in range(13)]
    for step in (12, 3, 7, 0, 11, 4):
        for again in (make(split, augment), batches):
            inputs, labels = again.batch(step)
            assert torch.equal(inputs, forwards[step][0])
            assert torch.equal(labels, forwards[step][1])


def test_an_image_is_turned_anew_each_epoch() -> None:
    split, batches = upright(40), make(to_be_turned(upright(40)))
    assert len(split) == 40
    turns: dict[int, set[int]] = {}
    for epoch in range(8):
        order = permutation(1, epoch, 40).tolist()
        labels = torch.cat([batches.batch(epoch * 4 + i)[1] for i in range(4)]).tolist()
        for image, quarters in zip(order, labels, strict=True):
            turns.setdefault(image, set()).add(quarters)
    assert sum(map(len, turns.values())) / 40 > 3


def test_turns_have_the_augmentations_seed() -> None:
    split = to_be_turned(upright())
    base, other_order, other_augmentation = (make(split, seeds=pair).batch(0) for pair in [(1, 2), (3, 2), (1, 4)])
    assert torch.equal(base[1], other_order[1])
    assert not torch.equal(base[0], other_order[0])
    assert not torch.equal(base[1], other_augmentation[1])


def test_evaluation_turns_each_image_by_its_index() -> None:
    split = upright()
    turned = to_be_turned(split)
    assert torch.equal(turned.images, split.images)
    inputs, labels = (torch.cat(parts) for parts in zip(*evaluation_batches(turned, MEAN, STD, size=20), strict=True))
    assert labels.tolist() == [i % 4 for i in range(47)]
    for i in range(47):
        assert torch.equal(inputs[i], normal(split.images[i].rot90(i % 4, (1, 2))))
    [(first, first_labels)] = evaluation_batches(turned.first(9), MEAN, STD)
    assert torch.equal(first, inputs[:9])
    assert torch.equal(first_labels, labels[:9])
    [(taken, _)] = evaluation_batches(turned.take(torch.tensor([7, 2])), MEAN, STD)
    assert torch.equal(taken, inputs[[7, 2]])

"""Crop and flip as look-ups, against loops that do it one image at a time."""

import numpy as np
import pytest
import torch

from lth_ray.data.changes import apply_maps, map_codes, position_maps
from lth_ray.data.order import draws


def naive(image: torch.Tensor, padding: int, dy: int, dx: int, flip: bool) -> torch.Tensor:
    channels, height, width = image.shape
    padded = torch.zeros(channels, height + 2 * padding, width + 2 * padding, dtype=image.dtype)
    padded[:, padding : padding + height, padding : padding + width] = image
    crop = padded[:, dy : dy + height, dx : dx + width]
    return crop.flip(-1) if flip else crop


@pytest.mark.parametrize(("shape", "padding"), [((3, 5, 7), 2), ((1, 8, 8), 4), ((3, 4, 4), 0), ((2, 6, 3), 1)])
def test_every_crop_and_flip_equals_the_naive_one(shape: tuple[int, int, int], padding: int) -> None:
    side = 2 * padding + 1
    images = torch.randint(1, 256, (side * side * 2, *shape), dtype=torch.uint8)
    moved = apply_maps(images, position_maps(*shape[1:], padding))
    for code, (image, result) in enumerate(zip(images, moved, strict=True)):
        place, flip = divmod(code, 2)
        assert torch.equal(result, naive(image, padding, place // side, place % side, bool(flip)))


@pytest.mark.parametrize("padding", [0, 1, 4])
def test_codes_are_uniform(padding: int) -> None:
    kinds = (2 * padding + 1) ** 2 * 2
    counts = np.bincount(map_codes(draws(0, 0, 1000 * kinds), padding), minlength=kinds)
    assert len(counts) == kinds
    assert 800 < counts.min() <= counts.max() < 1200  # 6 standard deviations


@pytest.mark.parametrize(
    ("word", "code"),
    [(0, 0), (1 << 63, 1), (0xFFFFFF, 8 * 9 * 2), (0xFFFFFF << 24, 8 * 2), (0xFFFF << 48, 1), (2**64 - 1, 161)],
)
def test_which_bits_mean_what(word: int, code: int) -> None:
    assert map_codes(np.array([word], dtype=np.uint64), 4).tolist() == [code]

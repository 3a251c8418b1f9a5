"""Blurring: means of blocks, enlarged bilinearly, in exact arithmetic."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from lth_ray.data import changes
from lth_ray.data.changes import blurred


def random_images(n: int, height: int, width: int, channels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(n)
    return torch.randint(0, 256, (n, channels, height, width), dtype=torch.uint8, generator=generator)


def test_by_hand() -> None:
    """Blocks of means 10 and 50 a row: the four pixels lie at -1/4, 1/4, 3/4 and 5/4 of the way between centres."""
    image = torch.tensor([[[[0, 20, 40, 60], [20, 0, 60, 40]]]], dtype=torch.uint8)
    assert blurred(image, 2).tolist() == [[[[10, 20, 40, 50], [10, 20, 40, 50]]]]


def test_halves_are_rounded_up() -> None:
    image = torch.tensor([[[[0, 1], [1, 0]]]], dtype=torch.uint8)
    assert blurred(image, 2).tolist() == [[[[1, 1], [1, 1]]]]
    assert blurred(torch.tensor([[[[0, 0], [1, 0]]]], dtype=torch.uint8), 2).max() == 0


@settings(max_examples=30, deadline=None)
@given(factor=st.integers(1, 8), rows=st.integers(1, 5), columns=st.integers(1, 5))
def test_equals_torchs_area_and_bilinear_interpolation(factor: int, rows: int, columns: int) -> None:
    images = random_images(3, rows * factor, columns * factor)
    small = F.avg_pool2d(images.double(), factor)
    expected = F.interpolate(small, scale_factor=factor, mode="bilinear", align_corners=False)
    found = blurred(images, factor)
    assert found.dtype == torch.uint8
    assert (found.double() - expected).abs().max() <= 0.5 + 1e-9


def test_no_blur_and_the_extremes() -> None:
    images = random_images(2, 8, 8)
    assert torch.equal(blurred(images, 1), images)
    for value in (0, 255):
        flat = torch.full((1, 1, 8, 8), value, dtype=torch.uint8)
        assert torch.equal(blurred(flat, 4), flat)
    assert all(len(channel.unique()) == 1 for channel in blurred(images, 8).flatten(0, 1))


def test_images_are_blurred_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    images = random_images(7, 8, 8)
    whole = blurred(images, 4)
    monkeypatch.setattr(changes, "CHUNK", 3)
    assert torch.equal(blurred(images, 4), whole)
    assert torch.equal(blurred(images[2:3], 4), whole[2:3])

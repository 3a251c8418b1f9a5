"""The crop of an image is a function of its size and its draws."""

import pytest
import torch
from torchvision.transforms import v2

from lth_ray.data import DamagedDataset
from lth_ray.data.cropping import (
    AREA,
    CROP_WORDS,
    RATIO,
    Crop,
    centred,
    cropped,
    decode,
    random_crop,
    shortened,
    unit,
)
from lth_ray.data.order import image_words

# Changing a value here moves every result of training on packed sets.
GOLDEN_WORDS = [
    (0, 0, 0, [9534690535958307366, 14082240658975047012]),
    (1, 2, 3, [11326004959459338877, 2954075708677588709]),
]
GOLDEN_CROPS = [
    (0, 0, 0, 375, 500, (43, 130, 299, 348, True)),
    (0, 0, 1, 375, 500, (0, 19, 372, 433, False)),
    (0, 1, 0, 500, 333, (58, 18, 317, 252, False)),
    (7, 3, 12345, 256, 341, (7, 100, 177, 166, False)),
    (0, 0, 0, 10, 400, (0, 193, 10, 13, True)),
]


def crop(seed: int, epoch: int, position: int, height: int, width: int) -> Crop:
    return random_crop(height, width, image_words(seed, epoch, position, CROP_WORDS))


@pytest.mark.parametrize(("seed", "epoch", "position", "first"), GOLDEN_WORDS)
def test_the_first_words_are_golden(seed: int, epoch: int, position: int, first: list[int]) -> None:
    words = image_words(seed, epoch, position, CROP_WORDS)
    assert words[:2] == first
    assert image_words(seed, epoch, position, 2) == first


@pytest.mark.parametrize(("seed", "epoch", "position", "height", "width", "expected"), GOLDEN_CROPS)
def test_crops_are_golden(seed: int, epoch: int, position: int, height: int, width: int, expected: tuple) -> None:
    found = crop(seed, epoch, position, height, width)
    assert (found.top, found.left, found.height, found.width, found.flip) == expected


def test_words_belong_to_one_image_alone() -> None:
    words = [
        word
        for seed in (0, 1)
        for epoch in (0, 1)
        for position in (0, 1, 2)
        for word in image_words(seed, epoch, position, CROP_WORDS)
    ]
    assert len(set(words)) == len(words)


@pytest.mark.parametrize(("height", "width"), [(224, 224), (375, 500), (500, 333), (1, 1), (5, 600), (600, 5), (2, 3)])
def test_every_crop_lies_inside_its_image(height: int, width: int) -> None:
    for position in range(300):
        found = crop(3, 0, position, height, width)
        assert 0 <= found.top <= found.top + found.height <= height
        assert 0 <= found.left <= found.left + found.width <= width
        assert found.height > 0
        assert found.width > 0


def test_crops_spread_as_the_paper_says() -> None:
    found = [crop(0, 0, position, 400, 400) for position in range(3000)]
    areas = [f.height * f.width / 400**2 for f in found]
    ratios = [f.width / f.height for f in found]
    assert AREA[0] - 0.01 < min(areas) < 0.09
    assert 0.95 < max(areas) <= 1
    assert RATIO[0] - 0.02 < min(ratios) < 0.77
    assert 1.3 < max(ratios) < RATIO[1] + 0.02
    flips = sum(f.flip for f in found) / len(found)
    assert abs(flips - 0.5) < 0.05
    assert abs(sum(r > 1 for r in ratios) / len(found) - 0.5) < 0.05


@pytest.mark.parametrize(("height", "width", "size"), [(10, 400, (10, 13)), (400, 10, (13, 10))])
def test_a_long_strip_gives_its_centre(height: int, width: int, size: tuple[int, int]) -> None:
    found = random_crop(height, width, [2**63 - 1] * CROP_WORDS)
    assert (found.height, found.width) == size
    assert abs(2 * found.top + found.height - height) <= 1
    assert abs(2 * found.left + found.width - width) <= 1


def test_units_are_below_one() -> None:
    assert unit(0) == 0
    assert unit(2**64 - 1) == 1 - 2**-53


def test_pixels_are_torchvisions() -> None:
    image = torch.randint(0, 256, (3, 60, 80), dtype=torch.uint8)
    box = v2.functional.resize(image[:, 5:35, 7:57], [24, 24], antialias=True)
    assert torch.equal(cropped(image, Crop(5, 7, 30, 50, False), 24), box)
    assert torch.equal(cropped(image, Crop(5, 7, 30, 50, True), 24), box.flip(-1))
    middle = v2.Compose([v2.Resize(32, antialias=True), v2.CenterCrop(28)])(image)
    assert torch.equal(centred(image, 28), middle)
    assert torch.equal(centred(image, 28, flip=True), middle.flip(-1))
    assert shortened(image, 60) is image


@pytest.mark.parametrize(("height", "width"), [(1, 60_000), (60_000, 1), (3, 900)])
def test_the_centre_of_a_line_takes_no_more_than_it_needs(height: int, width: int, monkeypatch) -> None:
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    image[:, height // 2 if width == 1 else 0 :, width // 2 if height < width else 0 :] = 255  # the end half is white
    sizes: list[int] = []
    resize = v2.functional.resize

    def watched(pixels, *given, **named):
        resized = resize(pixels, *given, **named)
        sizes.append(resized.numel())
        return resized

    monkeypatch.setattr("lth_ray.data.cropping.v2.resize", watched)
    found = centred(image, 28)
    assert sizes == [3 * 32 * 32 * 256]
    assert found.shape == (3, 28, 28)
    assert found.float().mean() == pytest.approx(127.5, abs=1)
    along = found[0, 14] if width > height else found[0, :, 14]
    assert (along.int().diff() >= 0).all()


def test_grey_and_png_images_become_three_channels(encode, random_images) -> None:
    grey = random_images(1)[0, :, :, 0]
    pixels = decode(encode(grey), "here")
    assert pixels.tolist() == [grey.tolist()] * 3
    assert decode(encode(grey, "JPEG"), "here").shape == (3, 6, 6)


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda data: data[: len(data) // 2], "train-0.arrow, row 7: is not .* incomplete or truncated"),
        (lambda data: data[:-2], "incomplete or truncated"),
        (lambda data: b"", "row 7: is an empty file"),
        (lambda data: b"GIF is what this is not", "row 7: is not an image that can be read"),
    ],
)
def test_what_cannot_be_decoded_is_named(photo, damage, why: str) -> None:
    with pytest.raises(DamagedDataset, match=why):
        decode(damage(photo(0)), "train-0.arrow, row 7")

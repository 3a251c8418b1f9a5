"""Decoding: colour or grey, one size or resized, and once a machine."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lth_ray.config import ConfigError
from lth_ray.data import DamagedDataset, images
from lth_ray.data.images import EncodedSplit, decode, decoded, image_source, probe


def split(encoded: list[bytes], digest: str = "d") -> EncodedSplit:
    def iterate() -> Iterator[tuple[str, bytes]]:
        return ((f"row {i}", data) for i, data in enumerate(encoded))

    return EncodedSplit(np.zeros(len(encoded), np.int64), [digest], iterate)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_colour_image(encode, random_images, kind: str) -> None:
    [array] = random_images(1, 5, 7)
    pixels = decode("x", encode(array, kind), (3, 5, 7), None)
    assert pixels.dtype == np.uint8
    if kind == "PNG":
        assert np.array_equal(pixels, array.transpose(2, 0, 1))


def test_a_set_is_grey_if_its_first_images_are(encode, random_images) -> None:
    colour = encode(random_images(1)[0])
    grey = encode(np.full((6, 6), 9, np.uint8))
    assert probe(split([grey, grey]), None) == (1, 6, 6)
    assert probe(split([grey, colour]), None) == (3, 6, 6)
    assert decode("x", grey, (3, 6, 6), None).tolist() == np.full((3, 6, 6), 9).tolist()
    assert decode("x", grey, (1, 6, 6), None).shape == (1, 6, 6)
    with pytest.raises(DamagedDataset, match=r"row 70: is in colour, and the first 64 images of its set are grey"):
        decode("row 70", colour, (1, 6, 6), None)


@pytest.mark.parametrize(("height", "width", "size"), [(8, 12, 4), (12, 8, 4), (3, 3, 5), (100, 33, 32), (33, 100, 33)])
def test_resizing_keeps_the_centre(encode, height: int, width: int, size: int) -> None:
    ramp = np.broadcast_to(np.linspace(0, 255, width).astype(np.uint8)[None, :, None], (height, width, 3))
    pixels = decode("x", encode(np.ascontiguousarray(ramp)), (3, size, size), size)
    assert pixels.shape == (3, size, size)
    assert pixels.mean() == pytest.approx(127, abs=6)


def test_images_of_several_sizes_need_an_image_size(encode, random_images) -> None:
    small, large = encode(random_images(1, 6, 6)[0]), encode(random_images(1, 6, 9)[0])
    with pytest.raises(ConfigError, match=r"Data.image_size = None: row 1 has 9x6 pixels, the first image 6x6; give"):
        decoded(split([small, large]), (3, 6, 6), None)
    assert image_source(split([small, large]), split([large]), 1, 4).read()[0].images.shape == (2, 3, 4, 4)


@pytest.mark.parametrize("spoil", [lambda b: b"", lambda b: b"<html>", lambda b: b[: len(b) // 2]])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_damaged_image_is_named(encode, random_images, kind: str, spoil) -> None:
    with pytest.raises(DamagedDataset, match=r"file.parquet, row 3: "):
        decode("file.parquet, row 3", spoil(encode(random_images(1, 64, 64)[0], kind)), (3, 64, 64), None)


def test_sixteen_bit_images_are_refused(encode) -> None:
    with pytest.raises(DamagedDataset, match=r"mode I;16.*8 bits a channel"):
        decode("x", encode(np.zeros((4, 4), np.uint16)), (1, 4, 4), None)


def test_large_images_are_decoded_in_threads_to_the_same_pixels(encode, random_images, monkeypatch) -> None:
    arrays = random_images(20)
    monkeypatch.setattr(images, "THREADED_BYTES", 0)
    result = decoded(split([encode(array) for array in arrays]), (3, 6, 6), None)
    assert np.array_equal(result, arrays.transpose(0, 3, 1, 2))


def test_images_are_decoded_once(encode, random_images, monkeypatch, fresh_process: Path) -> None:
    arrays = random_images(5)
    stored = split([encode(array) for array in arrays])
    first = decoded(stored, (3, 6, 6), None)
    monkeypatch.setattr(images, "decode", lambda *_: pytest.fail("decoded again"))
    assert np.array_equal(decoded(stored, (3, 6, 6), None), first)
    [kept] = (fresh_process / "decoded").iterdir()
    monkeypatch.undo()
    for spoiled in (kept.read_bytes()[:-7], b"", b"foreign"):
        kept.write_bytes(spoiled)
        again = decoded(EncodedSplit(stored.labels, stored.digests, stored.encoded), (3, 6, 6), None)
        assert np.array_equal(again, first)


def test_other_files_another_size_another_pillow_are_decoded_anew(
    encode, random_images, fresh_process: Path, monkeypatch
) -> None:
    encoded = [encode(array) for array in random_images(2)]
    decoded(split(encoded), (3, 6, 6), None)
    decoded(split(encoded, "other"), (3, 6, 6), None)
    decoded(split(encoded), (3, 4, 4), 4)
    monkeypatch.setattr(images.PIL, "__version__", "0")
    decoded(split(encoded), (3, 6, 6), None)
    assert len(list((fresh_process / "decoded").glob("*.npy"))) == 4


def test_a_cache_that_cannot_be_written_costs_a_warning(encode, random_images, fresh_process: Path) -> None:
    (fresh_process / "decoded").write_text("a file in the way")
    with pytest.warns(UserWarning, match="could not be kept in .*decoded"):
        assert decoded(split([encode(random_images(1)[0])]), (3, 6, 6), None).shape == (1, 3, 6, 6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (fresh_process / "decoded").unlink()
        decoded(split([encode(random_images(1)[0])]), (3, 6, 6), None)


def test_resampling_is_antialiased() -> None:
    stripes = Image.fromarray(np.tile(np.array([0, 255], np.uint8), (64, 32)))
    assert np.ptp(np.asarray(images._resized(stripes, 8))) < 10

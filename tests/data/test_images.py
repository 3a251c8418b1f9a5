"""Decoding: colour or grey, one size or resized, and once a machine."""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from lth_ray.config import ConfigError
from lth_ray.data import DamagedDataset, cropping, images
from lth_ray.data.images import EncodedSplit, decode, decoded, image_source, probe
from lth_ray.data.packed.packing import Options, stored

AS_IT_IS = Options()


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


def deep_png(colour: int, channels: int) -> bytes:
    """A PNG of 2x2 pixels of 16 bits a channel, which Pillow does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + b"\x12\x34" * 2 * channels) * 2
    header = struct.pack(">IIBBBBB", 2, 2, 16, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def deep(kind: str, encode) -> bytes:
    if kind.startswith("PNG"):
        return deep_png(*{"PNG grey": (0, 1), "PNG colour": (2, 3), "PNG grey alpha": (4, 2)}[kind])
    if kind == "PPM":
        return b"P6 2 2 65535\n" + b"\x12\x34" * 12
    return encode(np.full((4, 4), 0x1234, np.uint16), kind)


@pytest.mark.parametrize("kind", ["PNG grey", "PNG colour", "PNG grey alpha", "TIFF", "PPM"])
@pytest.mark.parametrize(
    "reader", [lambda data: decode("x", data, (3, 2, 2), 2), lambda data: stored(data, "x", AS_IT_IS)]
)
def test_sixteen_bit_images_are_refused_by_every_reader(reader, kind: str, encode) -> None:
    with pytest.raises(DamagedDataset, match=r"^x: has pixels of mode .*, of 16 bits a channel; convert it to 8 bits"):
        reader(deep(kind, encode))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_no_reader_turns_an_image_by_its_exif(kind: str) -> None:
    """Orientation 6: a viewer would turn it by a quarter, to 4 pixels by 6."""
    camera = Image.Exif()
    camera[ExifTags.Base.Orientation] = 6
    buffer = io.BytesIO()
    Image.new("RGB", (6, 4), (9, 9, 9)).save(buffer, kind, exif=camera)
    assert decode("x", buffer.getvalue(), (3, 4, 6), None).shape == (3, 4, 6)
    assert stored(buffer.getvalue(), "x", AS_IT_IS)[1].shape == (3, 4, 6)
    assert cropping.decode(stored(buffer.getvalue(), "x", AS_IT_IS)[0], "x").shape == (3, 4, 6)


def text_bomb(encode) -> bytes:
    """A PNG with a note that is 200 MB when it is unpacked."""
    whole = encode(np.zeros((2, 2, 3), np.uint8))
    body = b"zTXt" + b"note\0\0" + zlib.compress(bytes(200_000_000), 9)
    return whole[:33] + struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) + whole[33:]


def pixel_bomb(encode) -> bytes:
    """A few bytes that announce 60,000 x 60,000 pixels."""
    whole = bytearray(encode(np.zeros((2, 2, 3), np.uint8)))
    whole[16:24] = struct.pack(">II", 60_000, 60_000)
    whole[29:33] = struct.pack(">I", zlib.crc32(whole[12:29]))
    return bytes(whole)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda _: b"", "^x: is an empty file; replace it by a fresh copy, or remove it$"),
        (
            lambda _: b"<html>",
            r"^x: is not an image that can be read \(its format is not known here\); replace the file",
        ),
        (lambda _: b"BM" + bytes(60), "^x: is not an image that can be read "),
        (text_bomb, r"^x: is not an image that can be read \(Decompressed data too large"),
        (pixel_bomb, r"^x: is not an image that can be read \(Image size \(3600000000 pixels\) exceeds limit"),
    ],
)
@pytest.mark.parametrize(
    "reader", [lambda data: decode("x", data, (3, 2, 2), 2), lambda data: stored(data, "x", AS_IT_IS)]
)
def test_every_reader_says_the_same_of_what_is_no_image(reader, make, why: str, encode) -> None:
    with pytest.raises(DamagedDataset, match=why) as refused:
        reader(make(encode))
    assert " at 0x" not in str(refused.value)  # an object's address differs in each process


def test_flipped_bits_are_an_error_or_an_image(encode, random_images) -> None:
    whole = [encode(random_images(1, 16, 16)[0], kind) for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")]
    draw = np.random.default_rng(0)
    refused = 0
    for data in whole:
        for _ in range(60):
            spoiled = bytearray(data)
            spoiled[draw.integers(len(data))] ^= 1 << draw.integers(8)
            for reader in (lambda data: decode("x", data, (3, 4, 4), 4), lambda data: stored(data, "x", AS_IT_IS)):
                try:
                    reader(bytes(spoiled))
                except DamagedDataset:
                    refused += 1
    assert refused > 60


@pytest.mark.parametrize(("height", "width"), [(3, 90), (90, 3), (40, 701), (7, 1000), (33, 600)])
def test_of_a_line_the_centre_alone_is_resized(height: int, width: int, random_images, monkeypatch) -> None:
    image = Image.fromarray(random_images(1, height, width)[0])
    found = np.asarray(images._resized(image, 32)).astype(int)
    monkeypatch.setattr(images, "ELONGATED", 1000)
    whole = np.asarray(images._resized(image, 32)).astype(int)
    assert np.abs(found - whole).max() <= 1  # the same, but for rounding


def test_a_line_takes_no_more_memory_than_its_centre(encode, monkeypatch) -> None:
    """1 x 60,000 pixels with their short side at 512 would be 47 GB."""
    line = np.zeros((1, 60_000, 3), np.uint8)
    line[:, 30_000:] = 255
    sizes: list[tuple[int, int]] = []
    resize = Image.Image.resize
    monkeypatch.setattr(Image.Image, "resize", lambda *given: (sizes.append(given[1]), resize(*given))[1])
    pixels = decode("x", encode(line), (3, 512, 512), 512)
    assert sizes == [(512, 512)]
    assert pixels.mean() == pytest.approx(127.5, abs=1)
    assert (np.diff(pixels[0, 0].astype(int)) >= 0).all()


def test_a_set_that_no_memory_holds_is_refused_before_it_is_decoded(encode, random_images) -> None:
    one = split([encode(random_images(1)[0])])
    with pytest.raises(
        ConfigError, match=r"Data.image_size = 1000000: 1 images of 1000000x1000000 pixels take 3e\+03 GB"
    ):
        image_source(one, one, 1, 1_000_000)


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

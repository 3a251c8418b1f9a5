"""Encoded images (JPEG, PNG, ...) into uint8 arrays of one size, decoded once a machine."""

import io
import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from lth_ray.config import ConfigError
from lth_ray.data.cache import cached_array
from lth_ray.data.dataset import Channels, Shape, Source, Split, array_split, combined_digest
from lth_ray.data.errors import DamagedDataset, reason

GREY_MODES = ("1", "L", "LA")
COLOUR_MODES = ("P", "RGB", "RGBA", "CMYK", "YCbCr")
EMPTY = ("is an empty file", "replace it by a fresh copy, or remove it")
ELONGATED = 16  # of a longer image than so many times its short side the centre alone is resized, lest it fill memory
LOOKED_AT = 64  # so many first training images decide whether a set is grey
CHUNK = 1024  # images in flight while decoding
THREADED_BYTES = 16_384  # for smaller images than this, parsing under the interpreter lock is most of the work

Encoded = tuple[str, bytes]  # where an image is stored, and its bytes


@dataclass(frozen=True)
class EncodedSplit:
    """A split as it is stored.

    digests: of its files, in reading order.
    labels: int64 [n], none negative.
    """

    labels: NDArray[np.int64]
    digests: list[str]
    encoded: Callable[[], Iterator[Encoded]]


def image_source(
    train: EncodedSplit,
    test: EncodedSplit,
    num_classes: int,
    image_size: int | None,
    statistics: tuple[Channels, Channels] | None = None,
) -> Source:
    """Return a data set of encoded images.

    image_size: None where all have one size; else they are brought to that size.
    """
    shape = probe(train, image_size)
    check_room(max(len(train.labels), len(test.labels)), shape, image_size)

    def read() -> tuple[Split, Split]:
        return tuple(  # type: ignore[return-value]
            array_split(decoded(split, shape, image_size), split.labels) for split in (train, test)
        )

    digest = combined_digest(train.digests, test.digests)
    labels = train.labels, test.labels
    return Source(digest, len(labels[0]), len(labels[1]), shape, num_classes, read, statistics, lambda: labels)


def probe(train: EncodedSplit, image_size: int | None) -> Shape:
    """Return (C, H, W) of every decoded image, from the first headers: grey if the first images all are."""
    headers = [opened(where, data) for where, data in islice(train.encoded(), LOOKED_AT)]
    channels = 1 if all(header.mode in GREY_MODES for header in headers) else 3
    width, height = (image_size, image_size) if image_size else headers[0].size
    return channels, height, width


def check_room(n: int, shape: Shape, image_size: int | None) -> None:
    """Raise ConfigError where so many decoded images are more than this machine's memory."""
    needed, there = n * math.prod(shape), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise ConfigError(
            f"Data.image_size = {image_size}: {n} images of {shape[2]}x{shape[1]} pixels take {needed / 1e9:.3g} GB, "
            f"and this machine has {there / 1e9:.3g}; give a smaller size, or pack the set (`lth-ray data pack`)"
        )


def decoded(split: EncodedSplit, shape: Shape, image_size: int | None) -> NDArray[np.uint8]:
    """Return uint8 [n, C, H, W], from the cache if these very files were decoded before by this version of
    Pillow.
    """
    n = len(split.labels)
    key = combined_digest([*split.digests, f"{shape} {image_size} Pillow {PIL.__version__}"], [])

    def make() -> NDArray[np.uint8]:
        images = np.empty((n, *shape), dtype=np.uint8)
        encoded = split.encoded()
        with ThreadPoolExecutor() as pool:
            for start in range(0, n, CHUNK):
                chunk = list(islice(encoded, min(CHUNK, n - start)))
                in_turn = pool.map if len(chunk[0][1]) > THREADED_BYTES else map
                for i, image in enumerate(
                    in_turn(lambda item: decode(item[0], item[1], shape, image_size), chunk), start
                ):
                    images[i] = image
        return images

    return cached_array(key, (n, *shape), make)


def decode(where: str, data: bytes, shape: Shape, image_size: int | None) -> NDArray[np.uint8]:
    """Return one image, uint8 [C, H, W].

    With an image_size its short side becomes that (bilinear) and its centre is kept.

    The orientation that a camera notes in EXIF is not applied, here and by any other reader of ours.
    """
    image = opened(where, data)
    channels, height, width = shape
    if channels == 1 and image.mode not in GREY_MODES:
        raise DamagedDataset(
            where, f"is in colour, and the first {LOOKED_AT} images of its set are grey", "convert all to one mode"
        )
    pixels = converted(where, image, "L" if channels == 1 else "RGB")
    if image_size:
        pixels = _resized(pixels, image_size)
    if pixels.size != (width, height):
        raise ConfigError(
            f"Data.image_size = None: {where} has {pixels.width}x{pixels.height} pixels, the first image "
            f"{width}x{height}; give Data(image_size=...) to bring all to one size"
        )
    array = np.asarray(pixels)
    return array[None] if channels == 1 else array.transpose(2, 0, 1)


def opened(where: str, data: bytes) -> Image.Image:
    """Return the image's header; its pixels are not decoded yet.

    Raise DamagedDataset unless it is one of 8 bits a channel.
    """
    if not data:
        raise DamagedDataset(where, *EMPTY)
    try:
        image = Image.open(io.BytesIO(data))
    except PIL.UnidentifiedImageError:
        raise DamagedDataset(where, "is not an image that can be read (its format is not known here)") from None
    except Exception as error:  # Pillow's readers raise many kinds where a file is damaged
        raise DamagedDataset(where, f"is not an image that can be read ({reason(error)})") from None
    if image.mode not in GREY_MODES + COLOUR_MODES or _is_deep(image):
        deep = ", of 16 bits a channel" if _is_deep(image) else ""
        raise DamagedDataset(where, f"has pixels of mode {image.mode}{deep}", "convert it to 8 bits a channel")
    return image


def converted(where: str, image: Image.Image, mode: str) -> Image.Image:
    """Return the decoded image. Raise DamagedDataset."""
    try:
        image.load()
        return image if image.mode == mode else image.convert(mode)
    except Exception as error:  # as in `opened`
        raise DamagedDataset(where, f"cannot be decoded ({reason(error)})") from None


def _is_deep(image: Image.Image) -> bool:
    """Return whether Pillow would cut the file's 16 bits down to the mode's 8 (PNG, TIFF and PPM in colour)."""
    for *_, given in getattr(image, "tile", ()):
        values = given if isinstance(given, tuple) else (given,)
        if any(";16" in value for value in values if isinstance(value, str)):
            return True
        if image.format == "PPM" and any(value > 255 for value in values if isinstance(value, int)):
            return True
    return False


def _resized(image: Image.Image, size: int) -> Image.Image:
    """Return the centre, size x size, of the image with its short side at `size` pixels."""
    short = min(image.size)
    width, height = (max(size, round(side * (size / short))) for side in image.size)
    left, top = (width - size) // 2, (height - size) // 2
    if max(image.size) <= ELONGATED * short:
        return image.resize((width, height), Image.Resampling.BILINEAR).crop((left, top, left + size, top + size))
    x, y = image.width / width, image.height / height
    box = left * x, top * y, min(image.width, (left + size) * x), min(image.height, (top + size) * y)
    return image.resize((size, size), Image.Resampling.BILINEAR, box)

"""Encoded images (JPEG, PNG, ...) into uint8 arrays of one size, decoded once a machine."""

import io
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
from lth_ray.data.errors import DamagedDataset

GREY_MODES = ("1", "L", "LA")
COLOUR_MODES = ("P", "RGB", "RGBA", "CMYK", "YCbCr")
LOOKED_AT = 64  # so many first training images decide whether a set is grey
CHUNK = 1024  # images in flight while decoding
THREADED_BYTES = 16_384  # for smaller images than this, parsing under the interpreter lock is most of the work

Encoded = tuple[str, bytes]  # where an image is stored, and its bytes


@dataclass(frozen=True)
class EncodedSplit:
    """A split as it is stored. digests: of its files, in reading order; labels: int64 [n], none negative."""

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
    """A data set of encoded images. image_size: None where all have one size; else they are brought to that size."""
    shape = probe(train, image_size)

    def read() -> tuple[Split, Split]:
        return tuple(  # type: ignore[return-value]
            array_split(decoded(split, shape, image_size), split.labels) for split in (train, test)
        )

    digest = combined_digest(train.digests, test.digests)
    return Source(digest, len(train.labels), len(test.labels), shape, num_classes, read, statistics)


def probe(train: EncodedSplit, image_size: int | None) -> Shape:
    """(C, H, W) of every decoded image, from the first headers: grey if the first images all are."""
    headers = [_open(where, data) for where, data in islice(train.encoded(), LOOKED_AT)]
    channels = 1 if all(header.mode in GREY_MODES for header in headers) else 3
    width, height = (image_size, image_size) if image_size else headers[0].size
    return channels, height, width


def decoded(split: EncodedSplit, shape: Shape, image_size: int | None) -> NDArray[np.uint8]:
    """uint8 [n, C, H, W], from the cache if these very files were decoded before by this version of Pillow."""
    n = len(split.labels)
    key = combined_digest([*split.digests, f"{shape} {image_size} Pillow {PIL.__version__}"], [])

    def make() -> NDArray[np.uint8]:
        images = np.empty((n, *shape), dtype=np.uint8)
        encoded = split.encoded()
        with ThreadPoolExecutor() as pool:
            for start in range(0, n, CHUNK):
                chunk = list(islice(encoded, CHUNK))
                in_turn = pool.map if len(chunk[0][1]) > THREADED_BYTES else map
                for i, image in enumerate(
                    in_turn(lambda item: decode(item[0], item[1], shape, image_size), chunk), start
                ):
                    images[i] = image
        return images

    return cached_array(key, (n, *shape), make)


def decode(where: str, data: bytes, shape: Shape, image_size: int | None) -> NDArray[np.uint8]:
    """One image, uint8 [C, H, W]; with an image_size its short side becomes that (bilinear) and its centre is kept."""
    image = _open(where, data)
    channels, height, width = shape
    if channels == 1 and image.mode not in GREY_MODES:
        raise DamagedDataset(
            where, f"is in colour, and the first {LOOKED_AT} images of its set are grey", "convert all to one mode"
        )
    mode = "L" if channels == 1 else "RGB"
    try:
        image.load()
        pixels = image if image.mode == mode else image.convert(mode)
    except (OSError, SyntaxError) as error:
        raise DamagedDataset(where, f"cannot be decoded ({error})") from None
    if image_size:
        pixels = _resized(pixels, image_size)
    if pixels.size != (width, height):
        raise ConfigError(
            f"Data.image_size = None: {where} has {pixels.width}x{pixels.height} pixels, the first image "
            f"{width}x{height}; give Data(image_size=...) to bring all to one size"
        )
    array = np.asarray(pixels)
    return array[None] if channels == 1 else array.transpose(2, 0, 1)


def _open(where: str, data: bytes) -> Image.Image:
    """The image's header. Its pixels are not decoded yet."""
    try:
        image = Image.open(io.BytesIO(data))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DamagedDataset(where, f"is not an image that can be read ({error})") from None
    if image.mode not in GREY_MODES + COLOUR_MODES:
        raise DamagedDataset(where, f"has pixels of mode {image.mode}", "convert it to 8 bits a channel")
    return image


def _resized(image: Image.Image, size: int) -> Image.Image:
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    left, top = (width - size) // 2, (height - size) // 2
    return image.resize((width, height), Image.Resampling.BILINEAR).crop((left, top, left + size, top + size))

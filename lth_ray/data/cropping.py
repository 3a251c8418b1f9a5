"""The way from an encoded image to pixels of one size: decoding, the random resized crop, and the centre
crop.

The crop is the one that Szegedy et al. 2015 (arXiv:1409.4842, section 6) trained Inception with, as it is now used
for ImageNet. Its parameters are computed here, from draws that belong to (seed, epoch, position); torchvision only
moves pixels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms.v2 import functional as v2

from lth_ray.data.errors import DamagedDataset
from lth_ray.data.images import converted, opened

AREA = (0.08, 1.0)  # of the image
RATIO = (3 / 4, 4 / 3)  # width / height, uniform in its logarithm
TRIES = 10
CROP_WORDS = 2 * TRIES + 3  # 64-bit draws for an image: area and ratio of each try, then row, column, flip
JPEG = b"\xff\xd8"
ELONGATED = 256  # no photograph is; what is shorter is resized whole, so that its pixels stay what they were
EVALUATED_PART = 224 / 256  # of the short side, as in He et al. 2016 (arXiv:1512.03385, section 3.4)


@dataclass(frozen=True)
class Crop:
    """A box of pixels, and whether it is mirrored."""

    top: int
    left: int
    height: int
    width: int
    flip: bool


def random_crop(height: int, width: int, words: Sequence[int]) -> Crop:
    """Return the crop of an image of this size that `words`, CROP_WORDS draws in [0, 2**64), give.

    The first try that lies inside the image is taken; after the last, the largest centred box of an allowed ratio.
    """
    flip = bool(words[-1] >> 63)
    for area_word, ratio_word in zip(words[0 : 2 * TRIES : 2], words[1 : 2 * TRIES : 2], strict=True):
        area = height * width * (AREA[0] + (AREA[1] - AREA[0]) * unit(area_word))
        low, high = math.log(RATIO[0]), math.log(RATIO[1])
        ratio = math.exp(low + (high - low) * unit(ratio_word))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return Crop(below(height - h + 1, words[-3]), below(width - w + 1, words[-2]), h, w, flip)
    w = min(width, round(height * RATIO[1]))
    h = min(height, round(width / RATIO[0]))
    return Crop((height - h) // 2, (width - w) // 2, h, w, flip)


def unit(word: int) -> float:
    """Return a 64-bit draw as a float64 in [0, 1)."""
    return (word >> 11) * 2.0**-53


def below(n: int, word: int) -> int:
    """Return a 64-bit draw as a whole number in [0, n)."""
    return (word >> 32) * n >> 32


def decode(data: bytes | memoryview, where: str) -> Tensor:
    """Return uint8 [3, H, W].

    Raise DamagedDataset if the bytes are no image of 8 bits a channel, or cut short.

    JPEG by torchvision, the rest by Pillow: a flipped bit in a PNG may end a process in which torchvision reads it.
    """
    if bytes(data[:2]) != JPEG:
        image = opened(where, bytes(data))
        return torch.from_numpy(np.array(converted(where, image, "RGB"))).permute(2, 0, 1).contiguous()
    try:
        pixels: Tensor = decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8), mode=ImageReadMode.RGB)
    except (RuntimeError, ValueError) as error:
        why = str(error).splitlines()[0].rpartition(", ")[2]  # without the place in torchvision's sources
        raise DamagedDataset(where, f"is not an image that can be read ({why})") from None
    return pixels


def cropped(pixels: Tensor, crop: Crop, size: int) -> Tensor:
    """Return the box brought to size x size pixels (bilinear, antialiased), uint8 [3, size, size]."""
    box = crop.top, crop.left, crop.height, crop.width
    resized: Tensor = v2.resized_crop(pixels, *box, [size, size], antialias=True)
    return mirrored(resized) if crop.flip else resized


def centred(pixels: Tensor, size: int, flip: bool = False) -> Tensor:
    """Return the centre, size x size, of the image with its short side at size / EVALUATED_PART pixels."""
    resized = shortened(middle(pixels), round(size / EVALUATED_PART))
    centre: Tensor = v2.center_crop(resized, [size, size])
    return mirrored(centre) if flip else centre


def middle(pixels: Tensor) -> Tensor:
    """Return the image, a strip of it cut to ELONGATED times its width.

    All of it would be resized for a crop of its centre, and a line of 60,000 pixels is then 12 GB.
    """
    height, width = pixels.shape[1:]
    longest = ELONGATED * min(height, width)
    if max(height, width) <= longest:
        return pixels
    top, left = max(0, height - longest) // 2, max(0, width - longest) // 2
    return pixels[:, top : top + longest, left : left + longest]


def shortened(pixels: Tensor, short_side: int) -> Tensor:
    """Return the image with its short side at so many pixels."""
    if min(pixels.shape[1:]) == short_side:
        return pixels
    resized: Tensor = v2.resize(pixels, [short_side], antialias=True)
    return resized


def mirrored(pixels: Tensor) -> Tensor:
    """Return [..., H, W] with left and right exchanged."""
    return pixels.flip(-1)

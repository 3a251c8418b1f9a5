"""Random crop and flip as look-ups: each of the few possible (shift, flip) pairs is one map of pixel positions.

He et al. 2016 (arXiv:1512.03385, section 4.2): 4 black pixels of padding on each side, a random crop of the
original size, a horizontal flip with probability 1/2.
"""

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lth_ray.data.dataset import Split


def position_maps(height: int, width: int, padding: int) -> Tensor:
    """Return the pixel that each output pixel comes from, int64 [(2 * padding + 1)**2 * 2, H * W].

    Row (dy * side + dx) * 2 + flip is the crop at offset (dy, dx) of the padded image, mirrored if flip.
    Position H * W stands for black: the one pixel that `apply_maps` puts behind each image.
    """
    side = 2 * padding + 1
    codes = torch.arange(side * side * 2)
    dy, dx, flip = codes // (2 * side), codes // 2 % side, codes % 2 == 1
    across = torch.arange(width)
    rows = dy[:, None] + torch.arange(height) - padding
    columns = dx[:, None] + torch.where(flip[:, None], width - 1 - across, across) - padding
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    positions = rows[:, :, None] * width + columns[:, None, :]
    return torch.where(inside, positions, height * width).flatten(1)


def map_codes(draws: NDArray[np.uint64], padding: int) -> NDArray[np.int64]:
    """Return the row of `position_maps` for each 64-bit draw: bits 0-23 give dy, 24-47 dx, 63 the flip.

    Scaling 24 bits to 2 * padding + 1 values favours some by less than one part in a million.
    """
    side, low = np.uint64(2 * padding + 1), np.uint64(0xFFFFFF)
    dy = (draws & low) * side >> np.uint64(24)
    dx = (draws >> np.uint64(24) & low) * side >> np.uint64(24)
    flip = draws >> np.uint64(63)
    return ((dy * side + dx) * np.uint64(2) + flip).astype(np.int64)


def apply_maps(images: Tensor, maps: Tensor) -> Tensor:
    """Move the pixels of each of images, [B, C, H, W], by its own map, int64 [B, H * W]."""
    flat = F.pad(images.flatten(2), (0, 1))
    return flat.gather(2, maps[:, None].expand(-1, images.shape[1], -1)).view_as(images)


QUARTERS = 4  # of a turn, and so the classes of the task


def turn_maps(side: int) -> Tensor:
    """Return the pixel that each output pixel comes from, int64 [4, side * side], as `augment.apply_maps`
    takes them.

    Row k turns by k quarters, counterclockwise.
    """
    positions = torch.arange(side * side).view(side, side)
    return torch.stack([positions.rot90(k).flatten() for k in range(QUARTERS)])


def turn_codes(draws: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the number of quarters, 0 to 3, for each 64-bit draw: its two highest bits."""
    return (draws >> np.uint64(62)).astype(np.int64)


def to_be_turned(split: Split) -> Split:
    """Return `split` with quarters for labels: the i-th image is turned by i mod 4 where it is evaluated."""
    quarters = torch.arange(len(split), device=split.labels.device) % QUARTERS
    return replace(split, labels=quarters, turned=True)


CHUNK = 1000  # images at a time, to bound the memory that float64 takes


def blurred(images: Tensor, factor: int) -> Tensor:
    """Return each `factor` x `factor` block's mean, enlarged bilinearly: uint8 [n, C, H, W] from the same.

    The pretraining task of Frankle, Schwab & Morcos 2020 (section 6), after Achille et al. 2019 (section 2).
    factor: divides H and W. Exact arithmetic, halves rounded up: the result is the same on every machine.
    """
    return torch.cat([_blurred(part, factor) for part in torch.split(images, CHUNK)])


def _blurred(images: Tensor, factor: int) -> Tensor:
    height, width = images.shape[2:]
    sums = F.avg_pool2d(images.double(), factor, divisor_override=1)
    enlarged = _bilinear(height, factor) @ (sums @ _bilinear(width, factor).T)
    unit = (2 * factor) ** 2 * factor**2  # whole numbers so far, which float64 holds exactly
    return enlarged.add_(unit // 2).div_(unit).floor_().to(torch.uint8)


def _bilinear(size: int, factor: int) -> Tensor:
    """Return the weight of each small pixel in each large one, float64 [size, size // factor], in 1 / (2 x
    factor).

    Pixels are squares whose centres are interpolated between; beyond the outermost centres the value is
    theirs.
    """
    last = size // factor - 1
    position = (2 * torch.arange(size) + 1 - factor).clamp(0, 2 * factor * last)
    below, towards = position // (2 * factor), position % (2 * factor)
    weights = torch.zeros(size, last + 1, dtype=torch.float64)
    rows = torch.arange(size)
    weights[rows, below] += 2 * factor - towards
    weights[rows, (below + 1).clamp(max=last)] += towards
    return weights

"""Random crop and flip as look-ups: each of the few possible (shift, flip) pairs is one map of pixel positions.

He et al. 2016 (arXiv:1512.03385, section 4.2): 4 black pixels of padding on each side, a random crop of the
original size, a horizontal flip with probability 1/2.
"""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor


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

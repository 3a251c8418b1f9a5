"""Blurred images: reduced, and enlarged to their size again."""

import torch
import torch.nn.functional as F
from torch import Tensor

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

"""Turning images by quarters, and the task of telling by how many (Gidaris et al. 2018, arXiv:1803.07728)."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lth_ray.data.dataset import Split

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

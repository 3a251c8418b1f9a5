"""The agreement of masks of successive epochs (You et al. 2020, section 3.2)."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

Bits = NDArray[np.uint8]  # a mask, packed


def packed(mask: Mapping[str, torch.Tensor]) -> Bits:
    """Return the bits of a mask, parameter after parameter, eight in a byte."""
    return np.packbits(torch.cat([keeps.cpu().flatten() for keeps in mask.values()]).numpy())


def distances(newest: Bits, earlier: Sequence[Bits], size: int) -> list[float]:
    """Return the share of `size` bits in which each earlier mask differs from the newest."""
    return [int(np.unpackbits(newest ^ one).sum()) / size for one in earlier]


def agrees(row: Sequence[float], window: int, distance: float) -> bool:
    """Return whether a mask agrees with the `window` - 1 before it.

    row: its distances from all earlier masks, oldest first.
    """
    return len(row) >= window - 1 and all(one <= distance for one in row[len(row) - window + 1 :])


def first_agreement(rows: Sequence[Sequence[float]], window: int, distance: float) -> int | None:
    """Return the number of the first mask that agrees with those before it.

    rows: for each mask its distances from all earlier ones.
    """
    return next((number for number, row in enumerate(rows) if agrees(row, window, distance)), None)

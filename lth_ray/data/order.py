"""The one source of randomness: a counter-based generator, so that any step can be computed on its own.

Philox4x64-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") through numpy, whose raw stream is
covered by numpy's compatibility promise (NEP 19). torch.randperm gives no such promise. Golden values are pinned by
tests/data/test_order.py: changing a value here moves every result.
"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from lth_ray.config import subseed

# The second word of the key keeps uses apart that share a seed.
AUGMENTATION: Final = 0
ORDER: Final = 1
SPLIT: Final = 2
MASKS: Final = 3  # and scores, see `uniform`
TURNS: Final = 4
LABELS: Final = 5
CROPS: Final = 6
ROUNDING: Final = 7  # of training in block floating point
BATCHES: Final = 8  # of sentences of like length
HALVES: Final = 9  # of a data set


def draws(seed: int, epoch: int, n: int, stream: int = AUGMENTATION) -> NDArray[np.uint64]:
    """Return n independent 64-bit words, uint64 [n]; draw i of (seed, epoch, stream) does not depend on n.

    seed, epoch: whole numbers in [0, 2**64); OverflowError otherwise.
    """
    # The lowest counter word counts blocks of four draws; the epoch is the next one up, so epochs never overlap.
    counter = np.array([0, epoch, 0, 0], dtype=np.uint64)
    generator = np.random.Philox(key=np.array([seed, stream], dtype=np.uint64), counter=counter)
    return np.asarray(generator.random_raw(n), dtype=np.uint64)


def permutation(seed: int, epoch: int, n: int, stream: int = ORDER) -> NDArray[np.int64]:
    """Return a uniformly random order of range(n), int64 [n]: the stable argsort of `draws`."""
    words = draws(seed, epoch, n, stream)
    order = np.argsort(words)  # several times faster than the stable sort, and equal to it unless two draws are equal
    ranked = words[order]
    if (ranked[1:] == ranked[:-1]).any():
        order = np.argsort(words, kind="stable")
    return order.astype(np.int64, copy=False)


def image_words(seed: int, epoch: int, position: int, n: int, stream: int = CROPS) -> list[int]:
    """Return n independent 64-bit words for the image at one position of an epoch, of which no other image
    has any.

    The position is the third counter word: up to 2**66 words may be drawn for an image.
    """
    counter = np.array([0, epoch, position, 0], dtype=np.uint64)
    generator = np.random.Philox(key=np.array([seed, stream], dtype=np.uint64), counter=counter)
    return [int(word) for word in generator.random_raw(n)]


def uniform(seed: int, use: str, n: int) -> torch.Tensor:
    """Return n numbers in [0, 1), float64 [n], on the CPU; number i depends on (seed, use, i) alone.

    use: what they are for, such as "tie" or a parameter's name, so that uses with one seed are independent.
    """
    words = draws(subseed(seed, "pruning", use), 0, n, MASKS)
    words >>= 11  # the 53 bits that a float64 holds exactly
    return torch.from_numpy(words.astype("float64")).mul_(2.0**-53)


def normal(seed: int, use: str, n: int) -> torch.Tensor:
    """Return n standard normal numbers, float64 [n], on the CPU, by the inverse of the normal distribution at
    `uniform`'s.
    """
    open_below = uniform(seed, use, n).clamp_(min=2.0**-54)  # at 0 the inverse is infinite; 1 is never drawn
    drawn: torch.Tensor = torch.special.ndtri(open_below)
    return drawn

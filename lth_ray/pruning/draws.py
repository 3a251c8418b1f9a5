"""Random numbers for masks and scores, from the project's counter-based generator."""

import torch

from lth_ray.config import subseed
from lth_ray.data import order

_STREAM = 3  # after those of lth_ray.data.order


def uniform(seed: int, use: str, n: int) -> torch.Tensor:
    """Return n numbers in [0, 1), float64 [n], on the CPU; number i depends on (seed, use, i) alone.

    use: what they are for, such as "tie" or a parameter's name, so that uses with one seed are independent.
    """
    words = order.draws(subseed(seed, "pruning", use), 0, n, _STREAM)
    words >>= 11  # the 53 bits that a float64 holds exactly
    return torch.from_numpy(words.astype("float64")).mul_(2.0**-53)


def normal(seed: int, use: str, n: int) -> torch.Tensor:
    """Return n standard normal numbers, float64 [n], on the CPU, by the inverse of the normal distribution at
    `uniform`'s.
    """
    open_below = uniform(seed, use, n).clamp_(min=2.0**-54)  # at 0 the inverse is infinite; 1 is never drawn
    drawn: torch.Tensor = torch.special.ndtri(open_below)
    return drawn

"""The ceiling of this machine on one thread, measured in the same run as what is compared with it.

A matrix product by torch (its BLAS) and a copy between two buffers that no cache holds. The best of several, since a
ceiling is not lowered by what else the machine does; shares of it are, on a busy one.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch

SIDES = (512, 1024, 2048)  # of square matrices: the best differs between machines
COPIED_BYTES = 256 << 20
REPEATS = 8


@dataclass(frozen=True)
class Ceiling:
    """matmul_gflops: 10**9 float32 operations a second. copy_gbs: 10**9 bytes a second, each read and each written."""

    matmul_gflops: float
    copy_gbs: float

    def of_matmul(self, flop: float, seconds: float) -> float:
        """Return the share, in percent, that so many operations in so many seconds are."""
        return 1e-7 * flop / seconds / self.matmul_gflops

    def of_copy(self, moved: float, seconds: float) -> float:
        """Return the share, in percent, that so many bytes read and written in so many seconds are."""
        return 1e-7 * moved / seconds / self.copy_gbs


@lru_cache(maxsize=1)
def ceiling() -> Ceiling:
    """Return that of this machine, measured once in a process (some seconds)."""
    return measure()


def measure(sides: tuple[int, ...] = SIDES, copied_bytes: int = COPIED_BYTES, repeats: int = REPEATS) -> Ceiling:
    """Measure on one thread, in float32; the number of threads is put back."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return Ceiling(max(_matmul(side, repeats) for side in sides), _copy(copied_bytes, repeats))
    finally:
        torch.set_num_threads(threads)


def _matmul(side: int, repeats: int) -> float:
    a, b, c = torch.randn(side, side), torch.randn(side, side), torch.empty(side, side)
    return 2e-9 * side**3 / _best(lambda: torch.mm(a, b, out=c), repeats)


def _copy(size: int, repeats: int) -> float:
    source, target = torch.zeros(size, dtype=torch.uint8), torch.empty(size, dtype=torch.uint8)
    return 2e-9 * size / _best(lambda: target.copy_(source), repeats)


def _best(work: Callable[[], object], repeats: int) -> float:
    """Return the seconds of the quickest call after one that warms up."""
    taken = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return min(taken[1:])

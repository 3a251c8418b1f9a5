"""Batches of sentences of like length: which pairs are in which, as a function of the seed and the epoch."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lth_ray.data.order import BATCHES, permutation

NONE = -1  # in the place of a pair, where the last batch of an epoch has none


@dataclass(frozen=True)
class Buckets:
    """Pairs of sentences by the length that they are filled up to.

    A batch has `blocks` blocks of as many pairs as there are of one length among `tokens` tokens. An epoch has every
    pair once: what is left of a bucket when its batches are full comes first among the next longer one's, and
    the last batch of the longest is filled up with NONE.

    lengths: of each pair, rounded up, int64 [n].
    """

    lengths: NDArray[np.int64]
    tokens: int
    blocks: int

    @cached_property
    def sizes(self) -> dict[int, int]:
        """The pairs of a block of each length, from the shortest on."""
        return {int(length): max(1, self.tokens // int(length)) for length in np.unique(self.lengths)}

    @cached_property
    def steps(self) -> int:
        """The batches of an epoch."""
        left, found = 0, 0
        longest = max(self.sizes)
        counts = dict(zip(*np.unique(self.lengths, return_counts=True), strict=True))
        for length, size in self.sizes.items():
            full, left = divmod(left + int(counts[length]), size * self.blocks)
            found += full + (length == longest and left > 0)
        return found

    def epoch(self, seed: int, epoch: int) -> list[tuple[int, NDArray[np.int64]]]:
        """Return (length, pairs int64 [blocks, pairs of a block]) of each batch, in the order of training."""
        order = permutation(seed, epoch, len(self.lengths))
        by_length = order[np.argsort(self.lengths[order], kind="stable")]
        groups = np.split(by_length, np.searchsorted(self.lengths[by_length], list(self.sizes)[1:]))
        found: list[tuple[int, NDArray[np.int64]]] = []
        left = by_length[:0]
        for (length, size), group in zip(self.sizes.items(), groups, strict=True):
            pool = np.concatenate([left, group])
            if length == max(self.sizes):
                short = -len(pool) % (size * self.blocks)
                pool = np.concatenate([pool, np.full(short, NONE, np.int64)])
            full = len(pool) // (size * self.blocks)
            batches = pool[: full * size * self.blocks].reshape(full, size, self.blocks)
            found += [(length, batch.T) for batch in batches]
            left = pool[full * size * self.blocks :]
        return [found[place] for place in permutation(seed, epoch, len(found), BATCHES)]


def rounded_up(lengths: NDArray[np.int64], to: int) -> NDArray[np.int64]:
    """Return lengths as multiples of `to`."""
    return -(-lengths // to) * to

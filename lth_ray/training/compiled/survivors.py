"""The surviving weights of a layer, packed in the order in which the kernels walk them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lth_ray.training.backends import SPARSE_BELOW

BLOCK = 96  # columns: 24 KB of a float32 tile, which stays in the nearest cache
ENTRIES_A_ROW = 32  # a block whose rows have fewer does not pay for walking it


@dataclass(frozen=True)
class Survivors:
    """A sparse layer as layers.h describes it.

    whole: the weight and its moments, [outputs, inputs].
    values: their survivors, [kept].
    places: where these lie in the flattened weight, int64 [kept].
    begins: int32 [blocks * outputs + 1].
    columns: of each survivor, int32 [kept].
    """

    whole: list[Tensor]
    values: list[Tensor]
    places: Tensor
    block: int
    blocks: int
    begins: Tensor
    columns: Tensor

    def put_back(self) -> None:
        """Copy the survivors to where they belong."""
        for whole, values in zip(self.whole, self.values, strict=True):
            whole.detach().view(-1).index_copy_(0, self.places, values)


def survivors_of(weight: Tensor, moments: Sequence[Tensor], mask: Tensor) -> Survivors | None:
    """Return the survivors of a weight, [outputs, inputs]; None where packing does not pay.

    That is where too many are left for it to be faster, and where none are: an empty tensor has no address
    that the kernels could read.

    mask: of the weight's shape, not 0 where it is kept.
    """
    keeps = mask != 0
    outputs, inputs = keeps.shape
    if not 0 < int(keeps.sum()) < SPARSE_BELOW * keeps.numel():
        return None
    rows, columns = keeps.nonzero(as_tuple=True)
    blocks = max(1, min(-(-inputs // BLOCK), len(rows) // (outputs * ENTRIES_A_ROW)))
    block = -(-inputs // blocks)
    order = torch.argsort(columns // block * outputs + rows, stable=True)
    rows, columns = rows[order], columns[order]
    counts = torch.bincount(columns // block * outputs + rows, minlength=blocks * outputs)
    places = rows * inputs + columns
    whole = [weight, *moments]
    return Survivors(
        whole,
        [tensor.detach().reshape(-1)[places] for tensor in whole],
        places,
        block,
        blocks,
        torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)]).to(torch.int32),
        columns.to(torch.int32),
    )

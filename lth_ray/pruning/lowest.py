"""The one selection that every pruning is made of: exactly the n lowest of a vector."""

import torch

from lth_ray.pruning.draws import uniform


def lowest(values: torch.Tensor, count: int, tie_seed: int | None = None, use: str = "") -> torch.Tensor:
    """Marks exactly the `count` lowest of `values` [n]: bool [n], on the CPU.

    values: without NaN, on any device; -0.0 and 0.0 are equal. Of equal values at the threshold the lowest
    indices are marked or, with a tie_seed, random ones (`use` tells apart selections with one seed).
    Linear in n: a threshold by quickselect, no sort.
    """
    values = values.detach().flatten().cpu()  # kthvalue on CUDA refuses torch's deterministic mode
    if count <= 0:
        return torch.zeros(values.shape, dtype=torch.bool)
    threshold = values.kthvalue(count).values
    marked = values < threshold
    tied = (values == threshold).nonzero().flatten()
    missing = count - int(marked.count_nonzero())
    if tie_seed is not None and missing < len(tied):
        tied = tied[lowest(uniform(tie_seed, f"tie/{use}", len(tied)), missing)]
    marked[tied[:missing]] = True
    return marked

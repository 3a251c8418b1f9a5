"""The signs of weights: which of them training flips (Gadhikar & Burkholz 2024)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from lth_ray.analysis.states import OVERALL, Tensors, pieces, require_same, selected

COUNTS = ("kept", "sign_flips", "sign_flips_since_init")
SHARES = {"sign_flips": "signs_flipped", "sign_flips_since_init": "signs_flipped_since_init"}


def sign_flips(
    start: Tensors, final: Tensors, mask: Mapping[str, torch.Tensor], initial: Tensors | None = None
) -> pd.DataFrame:
    """Return how many of the weights that a mask keeps have another sign at the end of a training than before.

    There is a row for each layer and one, "*", over all: layer; kept (number of weights); sign_flips, those with
    another sign than in `start`, and signs_flipped, their share of the kept ones; with `initial` the same since then,
    sign_flips_since_init and signs_flipped_since_init. A weight that is zero has no sign, and none is flipped. A share
    of no weight is NaN.

    start, final: state dicts before and after the training.
    initial: the state dict at initialisation.
    """
    before = [selected(state, mask) for state in (start, *([] if initial is None else [initial]))]
    after = selected(final, mask)
    for label, state in (("start", before[0]), ("final", after), ("initial", before[-1])):
        require_same(state, mask, (label, "the mask"))
    counts = {
        name: np.array([int(keeps.count_nonzero()), *(_flips(one[name], after[name], keeps) for one in before)])
        for name, keeps in mask.items()
    }
    counts[OVERALL] = np.sum([*counts.values()], axis=0)
    return pd.DataFrame([{"layer": name, **_row(row)} for name, row in counts.items()])


def _flips(first: torch.Tensor, second: torch.Tensor, keeps: torch.Tensor) -> int:
    return sum(int((a.sign() * b.sign() < 0).sum()) for a, b in pieces(first, second, keeps=keeps))


def _row(counts: NDArray[np.int64]) -> dict[str, Any]:
    found = {name: int(count) for name, count in zip(COUNTS, counts, strict=False)}
    kept = found["kept"]
    shares = {share: found[name] / kept if kept else float("nan") for name, share in SHARES.items() if name in found}
    return {**found, **shares}

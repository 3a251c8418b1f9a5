"""The initial weights that survive, and the way that weights move (Frankle & Carbin 2019, appendix)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from lth_ray.analysis.states import OVERALL, Tensors, pieces, require_same, selected
from lth_ray.config import ConfigError

Masks = Mapping[str, torch.Tensor]


def surviving(initial: Tensors, mask: Masks, bins: int | Sequence[float] = 50) -> pd.DataFrame:
    """Return densities of the initial values of all weights of a layer and of those that its mask keeps.

    There is a row for each layer and bin: layer, low, high, all, kept. A density integrates to 1 over a
    layer's bins (it is 0 throughout where no weight is counted).

    initial: state dict at initialisation.
    bins: a number, evenly from -m to m with m the layer's largest magnitude; or the edges, for all layers,
        outside of which weights are left out.
    """
    weights = _covered(initial, mask, "initial")
    frames = []
    for name, keeps in mask.items():
        edges = _edges(weights[name], bins)
        columns = {"all": _histogram(weights[name], None, edges), "kept": _histogram(weights[name], keeps, edges)}
        densities = {column: _density(counts, edges) for column, counts in columns.items()}
        frames.append(pd.DataFrame({"layer": name, "low": edges[:-1], "high": edges[1:], **densities}))
    return pd.concat(frames, ignore_index=True)


def movement(initial: Tensors, final: Tensors, mask: Masks, trained: Masks | None = None) -> pd.DataFrame:
    """Return how far the weights that a mask keeps moved in training, beside those that it prunes.

    There is a row for each layer and one, "*", over all: layer; kept and pruned (numbers of weights); for
    each of the two, moved_ (mean |final - initial|) and grew_ (mean |final| - |initial|); and, as shares of
    the kept weights, sign_flipped (from one side of zero to the other) and moved_from_zero (|final| >
    |initial|). A mean over no weight is NaN.

    initial, final: state dicts before and after the training that the mask was drawn from, so that pruned
        weights still have their trained values in `final`.
    trained: the mask under which it ran; a weight outside of it did not train and is in neither group.
    """
    before, after = _covered(initial, mask, "initial"), _covered(final, mask, "final")
    trains = mask if trained is None else _covered(trained, mask, "trained")
    sums = {}
    for name, keeps in mask.items():
        among = torch.ones_like(keeps) if trained is None else trains[name].to(keeps.device)
        sums[name] = np.concatenate(
            [_sums(before[name], after[name], group) for group in (keeps & among, ~keeps & among)]
        )
    sums[OVERALL] = np.sum([*sums.values()], axis=0)
    return pd.DataFrame([{"layer": name, **_means(row)} for name, row in sums.items()])


def _covered(tensors: Tensors, mask: Masks, label: str) -> dict[str, torch.Tensor]:
    """Return the tensors that the mask covers.

    Raise ConfigError where one is missing or the mask has another shape.
    """
    if not mask:
        raise ConfigError("mask: it covers no parameter; give that of a ticket")
    found = selected(tensors, mask)
    require_same(found, mask, (label, "the mask"))
    return found


def _sums(initial: torch.Tensor, final: torch.Tensor, group: torch.Tensor) -> NDArray[np.float64]:
    """Return over a group of weights: their number, sums of |f - i| and |f| - |i|, numbers of flips and of
    moves outwards.
    """
    total = np.zeros(5)
    for before, after in pieces(initial, final, keeps=group):
        grown = after.abs() - before.abs()
        flips = (before * after < 0).sum()
        total += [
            len(before),
            float((after - before).abs().sum()),
            float(grown.sum()),
            int(flips),
            int((grown > 0).sum()),
        ]
    return total


def _means(sums: NDArray[np.float64]) -> dict[str, Any]:
    kept, pruned = sums[:5], sums[5:]
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN that is promised
        return {
            "kept": int(kept[0]),
            "pruned": int(pruned[0]),
            "moved_kept": float(kept[1] / kept[0]),
            "moved_pruned": float(pruned[1] / pruned[0]),
            "grew_kept": float(kept[2] / kept[0]),
            "grew_pruned": float(pruned[2] / pruned[0]),
            "sign_flipped": float(kept[3] / kept[0]),
            "moved_from_zero": float(kept[4] / kept[0]),
        }


def _edges(weights: torch.Tensor, bins: int | Sequence[float]) -> NDArray[np.float64]:
    if isinstance(bins, int):
        if bins < 1:
            raise ConfigError(f"bins = {bins}: give a number from 1 on, or edges")
        largest = max(abs(float(end)) for end in torch.aminmax(weights))
        largest = largest or 1.0  # so that a layer of zeros, such as biases, has bins of some width
        return np.linspace(-largest, largest, bins + 1)
    edges = np.asarray(bins, dtype=np.float64)
    if len(edges) < 2 or (np.diff(edges) <= 0).any():
        raise ConfigError(f"bins = {list(bins)}: give two or more edges in rising order")
    return edges


def _histogram(weights: torch.Tensor, keeps: torch.Tensor | None, edges: NDArray[np.float64]) -> NDArray[np.int64]:
    counts = np.zeros(len(edges) - 1, dtype=np.int64)
    for (piece,) in pieces(weights, keeps=keeps):
        counts += np.histogram(piece.numpy(), edges)[0]
    return counts


def _density(counts: NDArray[np.int64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(counts / (max(1, counts.sum()) * np.diff(edges)), dtype=np.float64)

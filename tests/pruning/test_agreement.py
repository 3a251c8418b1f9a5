"""The draw of an early-bird ticket on sequences made by hand."""

import pytest
import torch

from lth_ray import pruning


def mask(*bits: int) -> dict[str, torch.Tensor]:
    return {"a": torch.tensor(bits[:3]).bool(), "b": torch.tensor(bits[3:]).bool()}


def rows(masks: list[dict[str, torch.Tensor]]) -> list[list[float]]:
    bits = [pruning.packed(one) for one in masks]
    size = sum(keeps.numel() for keeps in masks[0].values())
    return [pruning.distances(one, bits[:number], size) for number, one in enumerate(bits)]


def test_distances_are_shares_of_differing_bits() -> None:
    found = rows([mask(1, 1, 1, 1, 1), mask(1, 1, 1, 1, 0), mask(0, 1, 1, 1, 0)])
    assert found == [[], [0.2], [0.4, 0.2]]


# scales of four channels, epoch by epoch: half of them are pruned, the lowest
SCALES = [
    [4.0, 3.0, 2.0, 1.0],  # keeps 0, 1
    [4.0, 1.0, 2.0, 3.0],  # 0, 3
    [4.0, 1.0, 3.0, 2.0],  # 0, 2
    [4.0, 1.0, -3.0, 2.0],  # the same, by magnitude
    [4.0, 2.0, 3.0, 1.0],  # the same
    [1.0, 2.0, 3.0, 4.0],  # 2, 3
]


@pytest.mark.parametrize(
    ("window", "distance", "drawn"),
    [(2, 0.0, 3), (3, 0.0, 4), (4, 0.0, None), (4, 0.5, 3), (2, 0.5, 1), (5, 0.5, 4), (6, 0.5, None), (6, 1.0, 5)],
)
def test_the_draw_on_a_sequence_of_scales(window: int, distance: float, drawn: int | None) -> None:
    """At the first epoch whose mask is no further than `distance` from each of the window - 1 before it."""
    ones = {"norm.weight": torch.ones(4, dtype=torch.bool)}
    masks = [pruning.prune({"norm.weight": torch.tensor(scales).abs()}, ones, 0.5) for scales in SCALES]
    assert pruning.first_agreement(rows(masks), window, distance) == drawn


def test_nothing_agrees_before_a_window_is_full() -> None:
    assert not pruning.agrees([0.0] * 3, window=5, distance=0.1)
    assert pruning.agrees([0.0] * 4, window=5, distance=0.1)
    assert pruning.agrees([0.9, 0.1, 0.1, 0.1, 0.1], window=5, distance=0.1)  # older ones do not count
    assert not pruning.agrees([0.1, 0.1, 0.11, 0.1], window=5, distance=0.1)

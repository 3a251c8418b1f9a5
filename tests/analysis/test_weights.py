"""Surviving initial weights, and how far weights move."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lth_ray import models, pruning
from lth_ray.analysis import movement, states, surviving
from lth_ray.config import ConfigError

fast = settings(max_examples=30, deadline=None)
INITIAL = {"w": torch.tensor([-2.0, -1.0, 1.0, 2.0]), "v": torch.tensor([[0.5], [-0.5]]), "bias": torch.zeros(3)}
FINAL = {"w": torch.tensor([-3.0, 1.0, 0.5, 2.0]), "v": torch.tensor([[0.0], [-1.5]]), "bias": torch.ones(3)}
MASK = {"w": torch.tensor([True, True, False, False]), "v": torch.tensor([[False], [True]])}


def test_a_histogram_by_hand():
    frame = surviving(INITIAL, MASK, bins=4)
    w = frame[frame["layer"] == "w"]
    assert list(frame.columns) == ["layer", "low", "high", "all", "kept"]
    assert w["low"].tolist() == [-2.0, -1.0, 0.0, 1.0]
    assert w["high"].tolist() == [-1.0, 0.0, 1.0, 2.0]
    assert w["all"].tolist() == [0.25, 0.25, 0.0, 0.5]  # a bin holds its lower edge, the last one both
    assert w["kept"].tolist() == [0.5, 0.5, 0.0, 0.0]
    assert frame[frame["layer"] == "v"]["low"].tolist() == [-0.5, -0.25, 0.0, 0.25]


def test_given_edges_are_every_layers():
    frame = surviving(INITIAL, MASK, bins=[-1.0, 0.0, 1.5])
    assert frame["low"].tolist() == [-1.0, 0.0] * 2
    assert frame["all"].tolist() == [0.5, 1 / 3, 0.5, 1 / 3]  # weights beyond the edges are left out


@fast
@given(st.integers(0, 10**6), st.integers(1, 30), st.floats(0.05, 1))
def test_densities_integrate_to_one(seed, bins, keep):
    generator = torch.Generator().manual_seed(seed)
    initial = {"w": torch.randn(50, generator=generator)}
    frame = surviving(initial, {"w": torch.rand(50, generator=generator) < keep}, bins)
    width = frame["high"] - frame["low"]
    assert (frame["all"] * width).sum() == pytest.approx(1)
    assert (frame["kept"] * width).sum() == pytest.approx(1) or (frame["kept"] == 0).all()


def test_magnitude_pruning_leaves_the_tails_of_a_layer():
    model = models.build("lenet_30_20", seed=0)
    mask = pruning.dense_mask(model)
    pruned = pruning.prune(pruning.score("magnitude", model, mask), mask, 0.8, "layer")
    frame = surviving(model.state_dict(), pruned, 20).query("layer == 'fc1.weight'")
    middle = frame["low"].abs().lt(frame["high"].max() / 20)
    assert (frame[middle]["kept"] == 0).all()
    assert (frame[middle]["all"] > 0).all()


def test_movement_by_hand():
    w, v, overall = movement(INITIAL, FINAL, MASK).to_dict("records")
    assert w == {
        "layer": "w", "kept": 2, "pruned": 2, "moved_kept": 1.5, "moved_pruned": 0.25, "grew_kept": 0.5,
        "grew_pruned": -0.25, "sign_flipped": 0.5, "moved_from_zero": 0.5,
    }  # fmt: skip
    assert (v["moved_kept"], v["moved_pruned"], v["sign_flipped"], v["moved_from_zero"]) == (1.0, 0.5, 0.0, 1.0)
    assert overall["layer"] == "*"
    assert (overall["kept"], overall["moved_kept"]) == (3, pytest.approx(4 / 3))
    assert overall["moved_pruned"] == pytest.approx(1 / 3)
    assert overall["moved_from_zero"] == pytest.approx(2 / 3)


def test_weights_pruned_earlier_are_in_neither_group():
    earlier = {"w": torch.tensor([True, True, True, False]), "v": MASK["v"]}
    w, v, _ = movement(INITIAL, FINAL, MASK, earlier).to_dict("records")
    assert (w["kept"], w["pruned"], w["moved_pruned"]) == (2, 1, 0.5)
    assert v["pruned"] == 0
    assert math.isnan(v["moved_pruned"])


@fast
@given(st.integers(0, 10**6))
def test_what_has_not_moved_and_what_was_mirrored(seed):
    weights = {"w": torch.randn(30, generator=torch.Generator().manual_seed(seed)) + 3}
    mask = {"w": torch.arange(30) % 2 == 0}
    still = movement(weights, weights, mask).iloc[-1].drop(["layer", "kept", "pruned"])
    assert (still == 0).all()
    mirrored = movement(weights, {"w": -weights["w"]}, mask).iloc[-1]
    assert (mirrored["sign_flipped"], mirrored["grew_kept"], mirrored["moved_from_zero"]) == (1, 0, 0)
    assert mirrored["moved_kept"] == pytest.approx(2 * float(weights["w"][::2].abs().mean()), rel=1e-5)


def test_pieces_change_nothing(monkeypatch):
    whole = surviving(INITIAL, MASK, 4), movement(INITIAL, FINAL, MASK)
    monkeypatch.setattr(states, "PIECE", 3)
    assert surviving(INITIAL, MASK, 4).equals(whole[0])
    assert np.allclose(movement(INITIAL, FINAL, MASK).iloc[:, 1:], whole[1].iloc[:, 1:])


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ({}, "mask: it covers no parameter"),
        ({"u": MASK["w"]}, "'u' is not in the state"),
        ({"w": MASK["w"][:2]}, r"'w': initial has shape \(4,\), the mask has shape \(2,\)"),
    ],
)
def test_masks_that_do_not_fit(mask, message):
    for measure in (lambda: surviving(INITIAL, mask), lambda: movement(INITIAL, FINAL, mask)):
        with pytest.raises(ConfigError, match=message):
            measure()


@pytest.mark.parametrize("bins", [0, [1.0], [0.0, 0.0, 1.0]])
def test_bins_that_are_none(bins):
    with pytest.raises(ConfigError, match="bins"):
        surviving(INITIAL, MASK, bins)


def test_movement_under_a_mask_of_another_network():
    with pytest.raises(ConfigError, match="'v' is not in the state"):
        movement(INITIAL, {"w": FINAL["w"]}, MASK)
    with pytest.raises(ConfigError, match="'v'"):
        movement(INITIAL, FINAL, MASK, {"w": MASK["w"]})

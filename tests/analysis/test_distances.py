"""Distances between states, by hand and by their laws."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lth_ray.analysis import angle, l2_distance, share_travelled, states, to_segment
from lth_ray.config import ConfigError

fast = settings(max_examples=40, deadline=None)
ANY = st.lists(st.floats(-100, 100, width=32), min_size=5, max_size=5)


def state(values):
    return {"a": torch.tensor(values[:3]), "b": torch.tensor(values[3:]).view(2, 1)}


A = {"w": torch.tensor([1.0, 2.0, 0.0]), "v": torch.tensor([[5.0]]), "norm.running_mean": torch.tensor([3.0])}
B = {"w": torch.tensor([1.0, 0.0, 0.0]), "v": torch.tensor([[6.0]]), "norm.running_mean": torch.tensor([9.0])}
MASK = {"w": torch.tensor([True, False, True])}


@pytest.mark.parametrize(
    ("names", "mask", "distance", "degrees"),
    [
        (None, None, math.sqrt(5), math.degrees(math.acos(31 / math.sqrt(30 * 37)))),
        (["w"], None, 2.0, math.degrees(math.acos(1 / math.sqrt(5)))),
        (["w", "norm.running_mean"], None, math.sqrt(40), math.degrees(math.acos(28 / math.sqrt(14 * 82)))),
        (None, MASK, 0.0, 0.0),
        (["w", "v"], MASK, 1.0, math.degrees(math.acos(31 / math.sqrt(26 * 37)))),
        (["v"], MASK, 1.0, 0.0),
    ],
)
def test_by_hand(names, mask, distance, degrees):
    assert l2_distance(A, B, names, mask) == pytest.approx(distance)
    assert angle(A, B, names, mask) == pytest.approx(degrees, abs=1e-9)
    assert angle(A, B, names and iter(names), mask) == pytest.approx(degrees, abs=1e-9)


@pytest.mark.parametrize(
    ("a", "b", "share"),
    [([3.0, 0.0], [3.0, 0.0], 0.0), ([3.0, 0.0], [-3.0, 0.0], 2.0), ([3.0, 0.0], [0.0, 3.0], math.sqrt(2)),
     ([4.0, 0.0], [2.0, 0.0], 2 / 3)],
)  # fmt: skip
def test_shares_of_the_distance_travelled(a, b, share):
    start, a, b = ({"w": torch.tensor(values) + 1} for values in ([0.0, 0.0], a, b))
    assert share_travelled(start, a, b) == pytest.approx(share)
    assert share_travelled(start, b, a, iter(["w"])) == pytest.approx(share)


@fast
@given(ANY, ANY, ANY)
def test_distances_are_symmetric_and_keep_to_the_triangle(a, b, c):
    a, b, c = state(a), state(b), state(c)
    assert l2_distance(a, b) == l2_distance(b, a)
    assert l2_distance(a, a) == 0.0
    assert l2_distance(a, c) <= l2_distance(a, b) + l2_distance(b, c) + 1e-9


@fast
@given(ANY, ANY, st.floats(0.1, 10))
def test_angles_are_symmetric_bounded_and_without_scale(a, b, scale):
    first, second = state(a), state(b)
    if not any(a) or not any(b):
        assert math.isnan(angle(first, second))
        return
    assert 0 <= angle(first, second) <= 180
    assert angle(first, second) == angle(second, first)
    assert angle(first, first) == 0.0
    assert angle(first, {name: -value for name, value in first.items()}) == 180.0
    scaled = {name: value.double() * scale for name, value in second.items()}
    assert angle(first, scaled) == pytest.approx(angle(first, second), abs=1e-4)


def test_a_small_angle_keeps_its_digits():
    a, b = ({"w": torch.tensor([1.0, height], dtype=torch.float64)} for height in (0.0, 1e-9))
    assert angle(a, b) == pytest.approx(math.degrees(1e-9), rel=1e-12)


def test_what_has_no_direction_or_has_not_moved():
    zero, one = {"w": torch.zeros(2)}, {"w": torch.ones(2)}
    assert math.isnan(angle(zero, one))
    assert math.isnan(angle(one, one, mask={"w": torch.zeros(2, dtype=torch.bool)}))
    assert math.isnan(share_travelled(one, one, one))
    assert l2_distance(one, zero, mask={"w": torch.zeros(2, dtype=torch.bool)}) == 0.0


@pytest.mark.parametrize("piece", [1, 3, 7])
def test_pieces_change_nothing(monkeypatch, piece):
    a, b = ({"w": torch.arange(7.0).roll(shift).view(7, 1)} for shift in (0, 2))
    mask = {"w": torch.arange(7).view(7, 1) % 3 > 0}
    whole = [l2_distance(a, b), angle(a, b), l2_distance(a, b, mask=mask)]
    monkeypatch.setattr(states, "PIECE", piece)
    assert [l2_distance(a, b), angle(a, b), l2_distance(a, b, mask=mask)] == pytest.approx(whole, rel=1e-14)


def test_sums_are_in_float64():
    n = 1 << 21  # more than one piece; a float32 sum would stop at 2**24
    a = {"w": torch.full((n,), 4.0)}
    assert l2_distance(a, {"w": torch.zeros(n)}) == 4 * math.sqrt(n)
    assert l2_distance({"w": torch.full((5,), 1e30)}, {"w": torch.zeros(5)}) == pytest.approx(1e30 * math.sqrt(5))


def test_the_nearest_place_on_a_segment():
    """a = (4, 0), b = (0, 0): above its middle, beyond either end, and where the ends are one."""
    a, b = ({"w": torch.tensor([x, 0.0]), "v": torch.tensor([9.0])} for x in (4.0, 0.0))
    point = [{"w": torch.tensor(at), "v": torch.tensor([7.0])} for at in ([3.0, 2.0], [7.0, 4.0], [-3.0, 4.0])]
    assert to_segment(point[0], a, b, ["w"]) == pytest.approx((2.0, 0.75))
    assert to_segment(point[1], a, b, ["w"]) == pytest.approx((5.0, 1.0))
    assert to_segment(point[2], a, b, ["w"]) == pytest.approx((5.0, 0.0))
    assert to_segment(point[0], a, b) == pytest.approx((math.sqrt(8), 0.75))
    assert to_segment(point[0], a, b, mask={"w": torch.tensor([True, False])}) == pytest.approx((0.0, 0.75))
    assert to_segment(point[2], b, b, ["w"]) == pytest.approx((5.0, 0.0))
    with pytest.raises(ConfigError, match=r"'v': the first state has shape \(1,\), the third has none"):
        to_segment(point[0], a, {"w": b["w"]})


@pytest.mark.parametrize(
    ("names", "mask", "b", "message"),
    [
        (["u"], None, B, "'u' is not in the state"),
        ([], None, B, "nothing to measure"),
        (None, {"u": MASK["w"]}, B, "'u' is not in the state"),
        (None, {"w": MASK["w"][:2]}, B, r"'w': the state has shape \(3,\), the mask has shape \(2,\)"),
        (None, None, {"w": B["w"]}, r"'v': the first state has shape \(1, 1\), the second has none"),
        (["v"], None, B | {"v": torch.ones(1)}, "'v': the first state"),
    ],
)
def test_one_clear_error(names, mask, b, message):
    for measure in (l2_distance, angle):
        with pytest.raises(ConfigError, match=message):
            measure(A, b, names, mask)

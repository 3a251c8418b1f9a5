"""The overlap of two masks."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lth_ray import pruning
from lth_ray.analysis import overlap
from lth_ray.config import ConfigError

fast = settings(max_examples=40, deadline=None)


def mask(bits):
    return {"a": torch.tensor(bits[:6], dtype=torch.bool).view(2, 3), "b": torch.tensor(bits[6:], dtype=torch.bool)}


BITS = st.lists(st.integers(0, 1), min_size=10, max_size=10)


def test_by_hand():
    rows = overlap(mask([1, 1, 1, 0, 0, 0, 1, 0, 0, 0]), mask([0, 1, 1, 1, 1, 0, 0, 1, 0, 0])).to_dict("records")
    a, b, both = rows
    assert [row["layer"] for row in rows] == ["a", "b", "*"]
    assert (a["weights"], a["kept_a"], a["kept_b"], a["kept_both"]) == (6, 3, 4, 2)
    assert (a["jaccard"], a["shared"]) == (2 / 5, 2 / 3)
    assert (a["jaccard_by_chance"], a["shared_by_chance"]) == (2 / 5, 4 / 6)  # 3 x 4 / 6 = 2 are shared by chance
    assert (b["jaccard"], b["shared"], b["shared_by_chance"]) == (0.0, 0.0, 1 / 4)
    assert b["jaccard_by_chance"] == pytest.approx(0.25 / 1.75)
    assert (both["kept_a"], both["kept_b"], both["jaccard"], both["shared"]) == (4, 5, 2 / 7, 2 / 4)
    assert both["shared_by_chance"] == pytest.approx(2.25 / 4)
    assert both["jaccard_by_chance"] == pytest.approx(2.25 / 6.75)


@fast
@given(BITS, BITS)
def test_laws(first, second):
    there, back = overlap(mask(first), mask(second)), overlap(mask(second), mask(first))
    for column in ("jaccard", "jaccard_by_chance", "kept_both"):
        assert there[column].tolist() == pytest.approx(back[column].tolist(), nan_ok=True)
    shares = there[["jaccard", "shared", "jaccard_by_chance", "shared_by_chance"]].stack().dropna()
    assert shares.between(0, 1).all()
    assert (overlap(mask(first), mask(first))[["jaccard", "shared"]].stack().dropna() == 1).all()


def test_random_masks_overlap_by_chance():
    dense = {"a": torch.rand(20_000, generator=torch.Generator().manual_seed(0)) < 0.3}
    row = overlap(*(pruning.random_mask(dense, seed) for seed in (1, 2))).iloc[-1]
    assert row["shared"] == pytest.approx(row["shared_by_chance"], abs=0.03)
    assert row["jaccard"] == pytest.approx(row["jaccard_by_chance"], abs=0.03)


def test_a_share_of_nothing_is_missing():
    row = overlap(mask([0] * 10), mask([0] * 9 + [1])).iloc[-1]
    assert math.isnan(row["shared"])
    assert row["jaccard"] == 0.0


def test_masks_of_different_networks():
    first = mask([1] * 10)
    with pytest.raises(ConfigError, match=r"'b': mask_a has shape \(4,\), mask_b has none"):
        overlap(first, {"a": first["a"]})
    with pytest.raises(ConfigError, match=r"'a': mask_a has shape \(2, 3\), mask_b has shape \(3, 2\)"):
        overlap(first, first | {"a": first["a"].T})

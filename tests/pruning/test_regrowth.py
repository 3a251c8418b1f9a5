"""A mask that moves: exact counts, what is dropped and grown, the schedule, and draws that depend on their names."""

import math

import pytest
import torch

from lth_ray.pruning import Regrowth, drop_and_grow

RIGL = Regrowth("rigl", every=100, fraction=0.3, end=750)


def test_updates_come_at_multiples_and_end() -> None:
    assert [step for step in range(1_000) if RIGL.due(step)] == [0, 100, 200, 300, 400, 500, 600, 700]


@pytest.mark.parametrize("step", [0, 100, 375, 700])
def test_a_share_of_the_kept_weights_falls_by_a_cosine_and_is_cut_to_a_whole_number(step: int) -> None:
    share = 0.3 / 2 * (1 + math.cos(math.pi * step / 750))
    assert RIGL.count(1_001, step) == int(1_001 * share)
    assert RIGL.count(3, 0) == 0  # int(.9)
    assert RIGL.count(1_001, 0) == 300


def by_sorting(
    weight: list[float], growth: list[float], mask: list[bool], count: int
) -> tuple[list[bool], set[int], set[int]]:
    """The new mask, what was dropped and what was grown, from the definition."""
    kept = [i for i, keeps in enumerate(mask) if keeps]
    dropped = set(sorted(kept, key=lambda i: (abs(weight[i]), i))[:count])
    outside = [i for i in range(len(mask)) if not mask[i] or i in dropped]
    grown = set(sorted(outside, key=lambda i: (-growth[i], i))[:count])
    return [(mask[i] and i not in dropped) or i in grown for i in range(len(mask))], dropped, grown


def test_the_lowest_magnitudes_go_and_the_highest_gradients_of_all_that_is_not_kept_come() -> None:
    drawn = torch.Generator().manual_seed(0)
    for count in (0, 1, 7, 20):
        weight, growth = torch.randn(8, 9, generator=drawn), torch.rand(8, 9, generator=drawn)
        mask = torch.rand(8, 9, generator=drawn) < 0.5
        found = drop_and_grow(weight * mask, growth, mask, count)
        expected, dropped, grown = by_sorting(
            (weight * mask).flatten().tolist(), growth.flatten().tolist(), mask.flatten().tolist(), count
        )
        assert found.mask.flatten().tolist() == expected
        assert (found.dropped, found.returned) == (count, len(dropped & grown))
        assert int(found.mask.count_nonzero()) == int(mask.count_nonzero())


def test_what_is_dropped_may_come_back_at_once() -> None:
    """It is among all that is not kept, as in the code of Evci et al."""
    found = drop_and_grow(
        torch.tensor([1.0, 2.0, 0.0]), torch.tensor([9.0, 0.0, 1.0]), torch.tensor([True, True, False]), 1
    )
    assert found.mask.tolist() == [True, True, False]
    assert (found.dropped, found.returned) == (1, 1)


def test_random_growth_depends_on_seed_step_and_layer_alone() -> None:
    rule, gradient = Regrowth("set", 100, 0.3, 750, seed=5), torch.ones(6, 7)
    drawn = rule.growth("conv.weight", gradient, 100)
    assert torch.equal(drawn, rule.growth("conv.weight", gradient * 3, 100))
    others = [
        rule.growth("conv.weight", gradient, 200),
        rule.growth("fc.weight", gradient, 100),
        Regrowth("set", 100, 0.3, 750, seed=6).growth("conv.weight", gradient, 100),
    ]
    assert all(not torch.equal(drawn, other) for other in others)
    assert torch.equal(rule.growth("conv.weight", torch.ones(3, 7), 100), drawn[:3])  # place by place

"""Launches of our step of ResNet-50 beside a loop written by hand: masks and groups in a few operations for all."""

from collections.abc import Callable

import pytest
import torch

from benchmarks.gpu.setup import FAST, SGD, ByHand, OneOfTwo, a_run, random_split
from lth_ray.training import ALONE, Team, train
from tests.training.counted import Counted

GROUP = 4


def counted(step: Callable[[], object]) -> Counted:
    step()  # which makes the optimizer's state, and settles what takes part
    with Counted() as found:
        step()
    return found


def ours(team: Team) -> Counted:
    """Count a masked step in bf16 and channels_last, of one group a worker, by autograd: a CPU's own kernels, which no
    GPU has, copy otherwise.
    """
    groups = {"batch_norm_group": GROUP} if team.size > 1 else {}
    split = random_split(4 * GROUP, (3, 32, 32), 10, torch.device("cpu"))
    run = a_run(split, "resnet50", 10, GROUP * team.size, "none", team=team, **groups, **SGD, **FAST, backend="eager")
    assert len(run.kept) == 54
    return counted(lambda: train(run, run.step + 1))


@pytest.fixture(scope="module")
def by_hand() -> Counted:
    split = random_split(4 * GROUP, (3, 32, 32), 10, torch.device("cpu"))
    return counted(ByHand(split, "resnet50", 10, GROUP).step)


@pytest.mark.parametrize(
    ("team", "most", "copies"), [(ALONE, 1.01, 0), (OneOfTwo(0, 2), 1.04, 1)], ids=["masked", "grouped"]
)
def test_a_step_launches_hardly_more_than_a_loop_by_hand(
    by_hand: Counted, team: Team, most: float, copies: int
) -> None:
    found = ours(team)
    assert by_hand.computed > 450
    assert found.computed <= most * by_hand.computed
    assert found.copied <= by_hand.copied + copies
    assert found.waited == by_hand.waited == 0

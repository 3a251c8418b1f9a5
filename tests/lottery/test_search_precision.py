"""Masks that are found in other numbers than tickets are trained in: what is shared, resumed, counted and refused."""

from typing import Any

import pytest

from lth_ray.config import ConfigError, Dynamic, Rewind, Study, Supermask, steps
from lth_ray.lottery import make_plan

SGD = {"train.optimizer": "sgd", "train.lr": 0.1, "train.momentum": 0.9, "prune.rounds": 2}
LENGTH, POINT = 40, 10
METHODS = ("weights", "learning_rate", "fine_tune", "scratch", "continue")


def masks(ran: Any) -> list[str]:
    keys = [row["key"] for row in ran.tickets if row["round"] > 0]
    return [ran.store.segment(key)["mask"] for key in keys]


def study(lab: Any, changes: dict[str, Any], method: str = "weights") -> Study:
    found: Study = lab.study({**SGD, **changes}, rewind=[Rewind(steps(POINT), method=method)])
    return found


@pytest.mark.parametrize("method", METHODS)
def test_a_search_is_the_lineage_that_would_be_trained_so_and_its_tickets_are_other(lab: Any, method: str) -> None:
    """In one store the search is found, and what is left to train is the dense network and the tickets."""
    low = lab.run(study(lab, {"train.precision": "bfp8"}, method))
    apart = lab.run(study(lab, {"prune.search_precision": "bfp8"}, method))
    plain = lab.run(study(lab, {}, method), "plain")
    assert masks(apart) == masks(low)
    assert apart.key(0) == plain.key(0)
    retrained = LENGTH - POINT
    # "continue" keeps its search of round 1 in the low study, too
    assert apart.steps == LENGTH + 2 * retrained
    assert len({*apart.contents.values(), *low.contents.values()}) == 6
    bits = [(row["train_bits"], row["search_bits"]) for row in apart.tickets]
    assert bits == [(32, None), (32, 8), (32, 8)]
    assert [(row["train_bits"], row["search_bits"]) for row in low.tickets] == [(8, None), (8, 8), (8, 8)]
    assert {row["backend"] for row in apart.tickets} == {row["backend"] for row in plain.tickets}


def test_tickets_can_be_trained_in_low_precision_where_their_masks_were_not(lab: Any) -> None:
    plain = lab.run(study(lab, {}))
    tickets = lab.run(study(lab, {"train.precision": "bfp8", "prune.search_precision": "fp32"}))
    assert masks(tickets) == masks(plain)
    assert tickets.steps == LENGTH + 2 * (LENGTH - POINT)
    assert [(row["train_bits"], row["search_bits"]) for row in tickets.tickets] == [(8, None), (8, 32), (8, 32)]


def test_one_shot_prunes_the_search_s_dense_network(lab: Any) -> None:
    low = lab.run(study(lab, {"train.precision": "bf16", "prune.one_shot": True}))
    apart = lab.run(study(lab, {"prune.search_precision": "bf16", "prune.one_shot": True}))
    assert masks(apart) == masks(low)
    assert apart.steps == LENGTH + 2 * (LENGTH - POINT)
    assert [row["search_bits"] for row in apart.tickets] == [None, 16, 16]


@pytest.mark.parametrize("changes", [{}, {"prune.search_precision": "fp32"}])
def test_the_same_precision_is_no_other_search(lab: Any, changes: dict[str, Any]) -> None:
    plain, same = (make_plan(study(lab, one)) for one in ({}, changes))
    assert same.keys == plain.keys
    assert all(r.search is None for lineage in same.lineages for r in lineage.rounds)


@pytest.mark.parametrize("at", [25, 47, 90])
def test_a_killed_search_is_resumed_bit_for_bit(lab: Any, at: int) -> None:
    asked = study(lab, {"prune.search_precision": "bfp8"})
    whole = lab.whole(asked)
    lab.interrupted(asked, at, every_s=0.0)
    assert lab.run(asked).contents == whole.contents


def test_the_mean_of_low_precision_weights_over_epochs_is_resumed_and_pruned(lab: Any) -> None:
    """19 steps an epoch: the mean is of the weights at steps 19 and 38."""
    mean = {"train.precision": "bfp8", "train.average_from": steps(10)}
    asked = study(lab, {**mean, "train.ema_for": "evaluation_and_pruning"})
    whole = lab.whole(asked)
    lab.interrupted(asked, 65, every_s=0.0)
    again = lab.run(asked)
    assert again.contents == whole.contents
    trajectory, _, step = again.key(0).rpartition("-")
    assert int(again.store.load_state(trajectory, int(step)).model["averages.collected"]) == 2
    assert masks(again) != masks(lab.run(study(lab, mean), "own"))


def test_what_it_costs(lab: Any) -> None:
    """lenet_20_10 on 8x8 images, in batches of 60; the dense network is no part of a search, whatever its bits."""
    kept = [1280 + 200 + 100, 1024 + 160 + 80, 819 + 128 + 64]
    step = [3 * 2 * 60 * n for n in kept]
    apart = lab.run(study(lab, {"prune.search_precision": "bfp8"}))
    searched = [0, LENGTH * step[0], LENGTH * step[0] + (LENGTH - POINT) * step[1]]
    own = [LENGTH * step[0], *((LENGTH - POINT) * step[n] for n in (1, 2))]
    assert [row["ticket_flops"] for row in apart.tickets] == [a + b for a, b in zip(searched, own, strict=True)]
    assert [row["search_flops"] for row in apart.tickets] == [0, own[1], (LENGTH - POINT) * step[1] + own[2]]
    plain = lab.run(study(lab, {}), "plain")
    assert [row["search_flops"] for row in plain.tickets] == [row["search_flops"] for row in apart.tickets]
    assert [row["ticket_flops"] for row in plain.tickets] == [
        sum(n * one for n, one in zip((LENGTH, 30, 30), step[: last + 1], strict=False)) for last in range(3)
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train.optimizer": "adam", "train.momentum": 0.0}, "Train.optimizer = 'adam'"),
        ({"train.compile": True}, "Train.compile = True"),
    ],
)
def test_a_search_that_cannot_be_is_refused_by_the_plan(lab: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"Prune.search_precision = 'bfp8': {message}"):
        make_plan(study(lab, {"prune.search_precision": "bfp8", **changes}))


def test_a_supermask_is_not_learned_in_block_floating_point(lab: Any) -> None:
    low = {**SGD, "train.precision": "bfp8"}
    with pytest.raises(ConfigError, match=r"Supermask\(train=\{'precision': 'fp32'\}\)"):
        make_plan(lab.study(low, branches=[Supermask(method="bernoulli", rounds=[1])]))
    make_plan(lab.study(low, branches=[Supermask(method="bernoulli", rounds=[1], train={"precision": "fp32"})]))


def test_a_mask_that_changes_in_its_ticket_s_training_has_no_search_of_its_own(lab: Any) -> None:
    with pytest.raises(ConfigError, match=r"Prune\.search_precision = 'bf16': a mask that changes"):
        lab.study({"prune.search_precision": "bf16", "prune.dynamic": Dynamic("set")})

"""Costs of tickets, against counts by hand: epochs of retraining, and operations over the weights that are
kept.
"""

from dataclasses import replace
from typing import Any

import pytest

from lth_ray.config import Prune, RandomMask, RandomReinit, Rescored, Rewind, Scoring, Stability, Transfer, steps
from lth_ray.lottery import make_plan
from lth_ray.lottery.cost import Costs
from lth_ray.lottery.execution.reading import stored_segment
from tests.lottery.ladders import early

# 1,197 digits in batches of 60: 19 steps an epoch. Training takes 38 steps, 2 epochs; retraining from step 19 takes 1.
EPOCH = 19
TRAIN = {"train.length": steps(2 * EPOCH), "train.evaluate_every": steps(EPOCH), "prune.rounds": 3}
METHODS = ("weights", "learning_rate", "fine_tune", "scratch", "continue")
# lenet_20_10 on 8x8 images: 64 x 20 + 20 x 10 + 10 x 10 weights, of which a round prunes a fifth of each layer
KEPT = [1280 + 200 + 100, 1024 + 160 + 80, 819 + 128 + 64, 655 + 102 + 51]
RETRAINED = [0, *(3 * 2 * kept * 60 * EPOCH for kept in KEPT[1:])]  # FLOPs of an epoch: forward and twice that backward


def costs(row: dict[str, Any]) -> tuple[float, float, float]:
    return row["retrain_epochs"], row["search_epochs"], row["search_flops"]


@pytest.mark.parametrize("method", METHODS)
def test_an_iterative_search_retrains_once_a_round(lab: Any, method: str) -> None:
    ran = lab.run(lab.study(TRAIN, rewind=[Rewind(steps(EPOCH), method=method)]))
    found = [costs(row) for row in ran.tickets]
    # "continue" trains on twice to find the mask of round 3, as the others do, and then the ticket from step 19
    assert found == [(0, 0, 0), *((1, n, sum(RETRAINED[: n + 1])) for n in (1, 2, 3))]
    assert [row["inference_flops"] for row in ran.tickets] == [2 * kept for kept in KEPT]


@pytest.mark.parametrize("method", METHODS)
def test_a_one_shot_search_retrains_once(lab: Any, method: str) -> None:
    study = lab.study({**TRAIN, "prune.one_shot": True}, rewind=[Rewind(steps(EPOCH), method=method)])
    ran = lab.run(study)
    assert [costs(row) for row in ran.tickets] == [(0, 0, 0), *((1, 1, RETRAINED[n]) for n in (1, 2, 3))]


def test_sharpness_aware_minimisation_takes_two_passes_a_step(lab: Any) -> None:
    changes = {**TRAIN, "train.sam_radius": 0.05, "prune.rounds": 1}
    ran = lab.run(lab.study(changes, rewind=[Rewind(steps(EPOCH))]))
    assert [costs(row) for row in ran.tickets] == [(0, 0, 0), (1, 1, 2 * RETRAINED[1])]


@pytest.mark.parametrize(("point", "epochs"), [(0, 2.0), (EPOCH, 1.0), (2 * EPOCH, 0.0)])
@pytest.mark.parametrize("method", METHODS)
def test_retraining_time_is_what_is_left_behind_the_rewind_point(
    lab: Any, method: str, point: int, epochs: float
) -> None:
    ran = lab.run(lab.study({**TRAIN, "prune.rounds": 2}, rewind=[Rewind(steps(point), method=method)]))
    assert [costs(row)[:2] for row in ran.tickets] == [(0, 0), (epochs, epochs), (epochs, 2 * epochs)]


def test_a_shared_training_costs_everybody_who_needs_it(lab: Any) -> None:
    points = [Rewind(steps(EPOCH), method=method) for method in ("learning_rate", "continue")]
    together = lab.run(lab.study({**TRAIN, "arms": {"all": {}, "at_once": {"prune.one_shot": True}}}, rewind=points))
    assert together.steps < together.plan.naive_steps
    by_series = {(row["arm"], row["method"], row["round"]): costs(row) for row in together.tickets}
    for method in ("learning_rate", "continue"):
        assert by_series["all", method, 3] == (1, 3, sum(RETRAINED))
        assert by_series["at_once", method, 3] == (1, 1, RETRAINED[3])


def test_a_branch_costs_the_search_for_its_mask_and_its_own_training(lab: Any) -> None:
    """Not the training of the ticket that it hangs on, unless it goes on from its end."""
    warm, anew = (Transfer({"train_images": 600}, start=start, rounds=[0, 2]) for start in ("trained", "rewound"))
    hung = [
        RandomReinit(rounds=[2]),
        RandomMask(rounds=[2], branches=[Transfer({"train_images": 600}, start="trained")]),
    ]
    ran = lab.run(lab.study(TRAIN, rewind=[steps(EPOCH)], branches=[warm, anew, *hung, Stability(rounds=[2])]))
    rows = {(row["branch"], row["round"], row.get("start")): row for row in ran.branches}
    # 600 images are 10 steps an epoch, so that 38 steps are 3.8 epochs
    expected = {
        ("transfer", 0, "rewound"): (3.8, 3.8, 6 * KEPT[0] * 60 * 38),
        ("transfer", 0, "trained"): (3.8, 3.8, 6 * KEPT[0] * 60 * 38),
        ("transfer", 2, "rewound"): (3.8, 4.8, RETRAINED[1] + 6 * KEPT[2] * 60 * 38),
        ("transfer", 2, "trained"): (3.8, 5.8, RETRAINED[1] + RETRAINED[2] + 6 * KEPT[2] * 60 * 38),
        ("random_reinit", 2, None): (1, 2, RETRAINED[1] + RETRAINED[2]),
        ("random_mask", 2, None): (1, 2, RETRAINED[1] + RETRAINED[2]),
        ("random_mask-0/transfer", 2, "trained"): (3.8, 5.8, RETRAINED[1] + RETRAINED[2] + 6 * KEPT[2] * 60 * 38),
    }
    assert {name: costs(rows[name]) for name in expected} == {
        name: pytest.approx(cost) for name, cost in expected.items()
    }
    assert all("search_epochs" not in row for row in ran.branches if row["branch"] == "stability")


def test_a_dense_training_counts_up_to_where_it_is_used_whoever_trains_it_further(lab: Any) -> None:
    """An early mask beside iterative pruning, which trains the same dense network to its end."""
    arms = {"early": {"prune.at": steps(EPOCH), "prune.rounds": 1}, "iterative": {}}
    ran = lab.run(lab.study({**TRAIN, "arms": arms}, rewind=[steps(EPOCH)]))
    found = {(row["arm"], row["round"]): (row["search_epochs"], row["ticket_flops"]) for row in ran.tickets}
    dense = 3 * 2 * KEPT[0] * 60 * EPOCH  # of an epoch
    assert found["early", 0] == (0, dense)
    assert found["early", 1] == (1, dense + RETRAINED[1])
    assert found["iterative", 1] == (1, 2 * dense + RETRAINED[1])
    assert found["iterative", 2] == (2, 2 * dense + RETRAINED[1] + RETRAINED[2])
    assert {(row["train_bits"], row["search_bits"]) for row in ran.tickets} == {(32, None), (32, 32)}


SCORED = [
    # (criterion, fields of the rule, forward passes of an example, examples, weights left at each scoring)
    ("snip", {"scoring": Scoring(per_class=4)}, 3, 40, [1580]),
    ("snip", {"scoring": Scoring(per_class=4, batches=2, data="half")}, 3, 40, [1580]),
    ("grasp", {"scoring": Scoring(per_class=4), "iterations": 2}, 12, 40, [1580, 790]),
    ("synflow", {"iterations": 2}, 3, 1, [1580, 790]),
    ("magnitude", {}, 0, 0, []),
]


@pytest.mark.parametrize(("criterion", "fields", "passes", "examples", "left"), SCORED)
def test_scores_by_examples_are_part_of_the_search(
    lab: Any, criterion: str, fields: dict[str, Any], passes: int, examples: int, left: list[int]
) -> None:
    branches = [RandomReinit(), Rescored({"invert": True})]
    ran = lab.run(replace(early(lab, criterion=criterion, remaining=[0.25], **fields), branches=branches))
    scored = passes * examples * sum(2 * kept for kept in left)
    trained = 3 * 60 * 40 * 2 * round(0.25 * 1580)
    for row in (ran.tickets[1], *ran.branches):
        assert (row["scoring_flops"], row["search_flops"]) == (scored, scored + trained)
        assert row["ticket_flops"] == row["search_flops"]  # no dense training
    assert ran.tickets[0]["scoring_flops"] == 0


@pytest.mark.parametrize(("criterion", "known"), [("taylor", None), ("l1", 0.0)])
def test_scores_of_units_without_a_record_are_unknown_where_they_look_at_examples(
    lab: Any, criterion: str, known: float | None
) -> None:
    rule = Prune(criterion, structure="neurons", fraction=0.3, rounds=1)
    plan = make_plan(lab.study({"train.length": TRAIN["train.length"], "prune": rule}))
    assert Costs(plan).of_ticket(plan.lineages[0], 1, lambda key: None)["scoring_flops"] == known


def test_what_an_earlier_version_did_not_count_is_not_known(lab: Any) -> None:
    ran = lab.run(early(lab, criterion="snip", remaining=[0.25]))
    lineage = ran.plan.lineages[0]
    record = stored_segment(ran.store, lineage.rounds[1].segment.key)
    assert Costs(ran.plan).of_ticket(lineage, 1, {record.key: record}.get)["scoring_flops"] == 3 * 100 * 2 * 1580
    older = replace(record, scoring_flops=None)
    found = Costs(ran.plan).of_ticket(lineage, 1, {record.key: older}.get)
    assert [found[name] for name in ("scoring_flops", "search_flops", "ticket_flops")] == [None, None, None]


@pytest.mark.parametrize(("criterion", "scored"), [("l1", 0), ("taylor", None)])
def test_what_scores_of_units_took_is_told_without_a_record(lab: Any, criterion: str, scored: float | None) -> None:
    """Norms of filters take nothing, and what gradients took is then not known."""
    prune = Prune(criterion, structure="neurons", fraction=0.25, rounds=1)
    plan = make_plan(lab.study({"prune": prune}, branches=[RandomReinit()]))
    assert Costs(plan).of_branch(plan.branches[0], {}.get)["scoring_flops"] == scored

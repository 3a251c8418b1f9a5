"""One-shot pruning: the dense run's final weights, to the iterative arm's exact counts."""

from typing import Any

import pytest

from lth_ray.lottery import load_ticket
from lth_ray.pruning import density

ARMS = {"iterative": {}, "one_shot": {"prune.one_shot": True}}


def masks(lab: Any, ran: Any, arm: int) -> list[dict[str, Any]]:
    return [load_ticket(ran.key(r, arm), lab.store().uri).mask for r in range(1, 4)]


@pytest.mark.parametrize("criterion", ["magnitude", "random"])
@pytest.mark.parametrize(
    ("scope", "fraction"),
    [("global", 0.23), ("layer", 0.23), ("layer", {"fc*.weight": 0.2, "output.weight": 0.1})],
)
def test_one_shot_counts_are_those_of_iterative_pruning(lab: Any, criterion: str, scope: str, fraction: Any) -> None:
    rule = {"prune.criterion": criterion, "prune.scope": scope, "prune.fraction": fraction, "prune.rounds": 3}
    ran = lab.run(lab.study({**rule, "arms": ARMS}))
    assert ran.steps == 40 * (1 + 3 + 2)  # round 1 is one and the same
    iterative, one_shot = masks(lab, ran, 0), masks(lab, ran, 1)
    for number, (a, b) in enumerate(zip(iterative, one_shot, strict=True), 1):
        assert sum(int(m.sum()) for m in a.values()) == sum(int(m.sum()) for m in b.values()), number
        if scope == "layer":
            assert {n: int(m.sum()) for n, m in a.items()} == {n: int(m.sum()) for n, m in b.items()}
    assert all((iterative[0][name] == one_shot[0][name]).all() for name in iterative[0])
    assert ran.key(1, 0) == ran.key(1, 1)
    assert ran.key(2, 0) != ran.key(2, 1)


@pytest.mark.parametrize("criterion", ["magnitude", "random"])
def test_iterative_masks_are_nested_and_prune_exactly_the_rounded_share(lab: Any, criterion: str) -> None:
    ran = lab.run(lab.study({"prune.criterion": criterion, "prune.scope": "global", "prune.rounds": 3}))
    kept = 64 * 20 + 20 * 10 + 10 * 10
    before = None
    for mask in masks(lab, ran, 0):
        kept -= round(0.2 * kept)
        assert sum(int(m.sum()) for m in mask.values()) == kept
        assert before is None or all((before[name] >= mask[name]).all() for name in mask)
        before = mask
    remaining = [row["remaining_weights"] for row in ran.tickets]
    assert remaining == [1.0, *(density(mask) for mask in masks(lab, ran, 0))]


def test_exclude_leaves_a_layer_dense_and_out_of_the_count(lab: Any) -> None:
    ran = lab.run(lab.study({"prune.exclude": ["output.weight"], "prune.rounds": 1}))
    ticket = load_ticket(ran.key(1), lab.store().uri)
    assert set(ticket.mask) == {"fc1.weight", "fc2.weight"}
    assert ran.tickets[1]["remaining_weights"] == pytest.approx(0.8)


def test_include_lets_biases_be_pruned_with_the_weights(lab: Any) -> None:
    ran = lab.run(lab.study({"prune.include": ["fc*.bias"], "prune.rounds": 1}))
    ticket = load_ticket(ran.key(1), lab.store().uri)
    assert set(ticket.mask) == {"fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias", "output.weight"}
    assert not ticket.trained_state["fc1.bias"][~ticket.mask["fc1.bias"]].any()
    assert ran.tickets[1]["remaining_weights"] == pytest.approx(0.8, abs=1e-3)

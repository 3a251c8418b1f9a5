"""Masks and weights crossed: a seed's weights under the mask of another, in its own order or in this seed's."""

from typing import Any

import pytest
import torch

from lth_ray import analysis, models
from lth_ray.config import (
    ConfigError,
    Connectivity,
    CrossedMask,
    EarlyBird,
    Prune,
    RandomReinit,
    steps,
)
from lth_ray.lottery import load_ticket, make_plan

KINDS = [CrossedMask(match, rounds=[2]) for match in ("none", "weights", "activations")]


def test_the_other_two_of_the_four(lab: Any) -> None:
    ran = lab.run(lab.study(rewind=[steps(10)], seeds=[0, 1], branches=KINDS))
    assert not ran.failures
    assert ran.plan.branch_steps == 2 * 3 * 30  # dense networks are there
    tickets = {
        lineage.variant.seed: load_ticket(ran.key(2, i), ran.store.uri) for i, lineage in enumerate(ran.plan.lineages)
    }
    dense = {
        lineage.variant.seed: load_ticket(ran.key(0, i), ran.store.uri) for i, lineage in enumerate(ran.plan.lineages)
    }
    recipe = ran.plan.lineages[0].recipe
    loaded = recipe.task.load()
    model = models.build("lenet_20_10", 10, input_shape=(1, 8, 8))
    for result in ran.plan.branches:
        own = result.lineage.variant.seed
        other, match = 1 - own, result.parameters["match"]
        found = load_ticket(result.key, ran.store.uri)
        point = ran.store.load_state(result.lineage.dense.trajectory, 10).model
        for name, value in point.items():
            assert torch.equal(found.rewind_state[name], value * found.mask.get(name, True))
        theirs = tickets[other].mask
        assert all(keeps.sum() == theirs[name].sum() for name, keeps in found.mask.items())
        if match == "none":
            assert all(torch.equal(keeps, theirs[name]) for name, keeps in found.mask.items())
            continue
        assert not torch.equal(found.mask["fc2.weight"], theirs["fc2.weight"])
        if match == "activations":
            first, second = (dense[seed].trained_state for seed in (own, other))
            examples = recipe.task.examples(loaded, loaded.train)
            example = recipe.task.example(recipe.identity)
            aligned = analysis.align(model, first, dict(second), example, examples=examples)
            rows = [_row_of(row, second["fc1.weight"]) for row in aligned["fc1.weight"]]
            assert sorted(rows) == list(range(20)) != rows
            assert torch.equal(found.mask["fc1.weight"], theirs["fc1.weight"][rows])


def _row_of(row: torch.Tensor, matrix: torch.Tensor) -> int:
    return next(i for i, one in enumerate(matrix) if torch.equal(one, row))


def test_each_other_seed_gives_a_result_and_lines_lead_to_the_ticket(lab: Any) -> None:
    branches = [CrossedMask(rounds=[1], branches=[Connectivity("ticket", points=3)])]
    ran = lab.run(lab.study(seeds=[0, 1, 2], branches=branches))
    rows = [(row["seed"], row["branch"], row["index"]) for row in ran.branches]
    assert [row for row in rows if row[0] == 1] == [
        (1, "crossed_mask", 0), (1, "crossed_mask-none-0/connectivity", 0),
        (1, "crossed_mask", 1), (1, "crossed_mask-none-1/connectivity", 0),
    ]  # fmt: skip
    assert all(row["search_epochs"] > 0 for row in ran.branches if row["branch"] == "crossed_mask")
    alone = make_plan(lab.study(seeds=[0], branches=branches))
    assert not alone.branches


WRONG: dict[str, tuple[dict[str, Any], list[Any], str]] = {
    "another branch's mask": (
        {},
        [RandomReinit(branches=[CrossedMask()])],
        "CrossedMask: it exchanges the masks of",
    ),
    "a network that ends at its draw": (
        {"train.length": steps(100), "prune": Prune(fraction=0.5, at=EarlyBird(), rounds=1)},
        [CrossedMask("weights")],
        "CrossedMask with Prune.at = EarlyBird",
    ),
    "units by averages": (
        {"train.ema_decay": 0.9},
        [CrossedMask("weights")],
        "CrossedMask.match or .*: units are",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_crossed_is_said_by_the_plan(lab: Any, name: str) -> None:
    changes, branches, message = WRONG[name]
    with pytest.raises(ConfigError, match=message):
        make_plan(lab.study(changes, seeds=[0, 1], branches=branches))

"""Masks found before training: ladders of densities, steps of scoring, random masks with densities of layers."""

from typing import Any

import pytest
import torch
from torch import nn

from lth_ray import pruning
from lth_ray.config import (
    ConfigError,
    Model,
    Prune,
    Rewind,
    Scoring,
    Table,
    set_fields,
    steps,
)
from lth_ray.lottery import load_ticket, make_plan
from tests.lottery.ladders import DENSITIES, early, equal, initial, masks


def test_a_ladder_of_synaptic_flow(lab: Any) -> None:
    """Each density is found from the initial weights, in 20 steps, and trained for the whole length."""
    ran = lab.run(early(lab, criterion="synflow", iterations=20))
    assert ran.steps == 3 * 40
    assert [row["train_steps"] for row in ran.tickets] == [0, 40, 40, 40]
    network = initial(ran)
    full = pruning.dense_mask(network)
    total = pruning.kept(full)
    example = (torch.zeros(1, 1, 8, 8),)
    for density, found in zip(DENSITIES, masks(ran), strict=True):
        assert pruning.kept(found) == round(density * total)
        expected = full
        for k in range(1, 21):
            left = round(total * (round(density * total) / total) ** (k / 20))
            scores = pruning.score("synflow", network, expected, batch=example)
            expected = pruning.prune_counts(scores, expected, pruning.kept(expected) - left)
        assert equal(found, expected)
    at_once = masks(lab.run(early(lab, criterion="synflow", remaining=[0.1]), "once"))[0]
    assert not equal(at_once, masks(ran)[1])


def test_what_else_is_in_a_ladder_changes_no_ticket(lab: Any) -> None:
    keys = [
        {r.segment.key for r in make_plan(early(lab, criterion="random", remaining=given)).lineages[0].rounds[1:]}
        for given in (DENSITIES, [0.02, 0.3, 0.5, 0.1])
    ]
    assert keys[0] < keys[1]
    some = early(lab, criterion="magnitude", rounds=2)
    assert [len(lineage.rounds) for lineage in make_plan(some).lineages] == [3]


def test_the_step_that_is_pruned_and_the_step_that_is_trained_from_are_two_numbers(lab: Any) -> None:
    """A mask found at step 0 on the weights of step 10, and one found at 10 on those of step 0."""
    points = {(at, k): early(lab, at=steps(at), rewind=steps(k), remaining=[0.1]) for at in (0, 10) for k in (0, 10)}
    ran = {point: lab.run(study, f"at{point}") for point, study in points.items()}
    assert {point: one.steps for point, one in ran.items()} == {
        (0, 0): 40, (0, 10): 10 + 30, (10, 0): 10 + 40, (10, 10): 10 + 30,
    }  # fmt: skip
    found = {point: masks(one)[0] for point, one in ran.items()}
    assert equal(found[0, 0], found[0, 10])
    assert equal(found[10, 0], found[10, 10])
    assert not equal(found[0, 0], found[10, 0])
    starts = {point: load_ticket(one.key(1), one.store.uri).rewind_state for point, one in ran.items()}
    dense = load_ticket(ran[0, 10].key(0), ran[0, 10].store.uri).trained_state
    for name, keeps in found[0, 0].items():
        assert torch.equal(starts[0, 10][name], dense[name].masked_fill(~keeps, 0.0))


def test_the_dense_network_is_trained_on_where_it_is_asked_for(lab: Any) -> None:
    study = early(lab, criterion="snip", remaining=[0.1])
    whole = set_fields(study, {"prune.whole_dense": True})
    one, other = (make_plan(each).lineages[0] for each in (study, whole))
    assert [r.segment.last for r in other.rounds] == [40, 40]
    assert one.dense.last == 0
    assert one.rounds[1].segment.key == other.rounds[1].segment.key
    ran = lab.run(whole)
    assert ran.steps == 80
    assert equal(masks(ran)[0], masks(lab.run(study, "alone"))[0])
    assert [row["train_steps"] for row in ran.tickets] == [40, 40]


@pytest.mark.parametrize("rule", ["uniform", "erk", {"fc*": 1.0, "output*": 4.0}])
def test_random_masks_with_densities_of_layers_are_lineages(lab: Any, rule: Any) -> None:
    ran = lab.run(early(lab, criterion="random", scope="layer", densities=rule, remaining=[0.3, 0.15]))
    full = pruning.dense_mask(initial(ran))
    shapes = {name: tuple(keeps.shape) for name, keeps in full.items()}
    for density, mask in zip([0.3, 0.15], masks(ran), strict=True):
        assert {n: int(keeps.sum()) for n, keeps in mask.items()} == pruning.kept_counts(rule, shapes, density)
    less, more = masks(ran)[1], masks(ran)[0]
    assert all((more[name] | ~less[name]).all() for name in full)  # one draw, and more of it


def test_a_dense_ticket_and_layers_of_one_density(lab: Any) -> None:
    ran = lab.run(early(lab, scope="layer", remaining=[1.0, 0.1]))
    assert [pruning.density(mask) for mask in masks(ran)] == [1.0, pytest.approx(0.1, abs=1e-3)]
    assert all(abs(each - 0.1) < 0.01 for each in pruning.layer_densities(masks(ran)[1]).values())


def test_iterations_of_rounds_that_prune_fractions(lab: Any) -> None:
    """Each round in its own steps, from the mask of the round before."""
    rule = Prune("synflow", fraction=0.6, rounds=2, iterations=3, at=steps(0))
    ran = lab.run(lab.study({"prune": rule}))
    network = initial(ran)
    found, total = masks(ran), pruning.kept(pruning.dense_mask(network))
    assert [pruning.kept(mask) for mask in found] == [
        round(0.4 * total),
        round(0.4 * total) - round(0.6 * round(0.4 * total)),
    ]
    assert all((found[0][name] | ~found[1][name]).all() for name in found[0])


def test_learning_rates_that_go_on_prune_what_was_trained(lab: Any) -> None:
    """With a later rewind point only weights may be rewound to it."""
    with pytest.raises(ConfigError, match=r"where method='fine_tune' goes on, lies beyond Prune.at"):
        make_plan(early(lab, rewind=Rewind(steps(10), method="fine_tune")))


def silent(num_classes: int) -> nn.Module:
    class Silent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.outer = nn.Linear(64, 10), nn.Linear(10, num_classes)
            self.bias = nn.Parameter(torch.zeros(num_classes))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.bias + self.outer(self.inner(x.flatten(1))).detach()

    return Silent()


@pytest.mark.parametrize(
    ("prune", "changes", "message"),
    [
        ({"remaining": [0.001]}, {}, "density 0.001 would leave 2 of 1,580 weights for 3 layers, less than one each"),
        ({"remaining": [0.004], "scope": "layer"}, {}, "less than one weight of 'output.weight' of 100"),
        (
            {"remaining": [0.002], "scope": "layer", "densities": "uniform"},
            {},
            "would leave 0.4 of the 200 weights of 'fc2.weight', less than one",
        ),
        ({"densities": {"fc*": 1.0}, "scope": "layer"}, {}, "'output.weight' matches none"),
        ({"criterion": "synflow"}, {"model": Model(silent)}, "'synflow': the network's outputs do not depend on the"),
        ({"criterion": "grasp"}, {"model": Model(silent)}, "'grasp': the loss does not depend on the weights by"),
        (
            {"criterion": "snip", "scoring": Scoring(per_class=2)},
            {"data": Table("diabetes", batch_size=20, validation=20, test=20)},
            "per_class = 2, and the targets of Table are no classes",
        ),
        (
            {"criterion": "snip", "scoring": Scoring(per_class=60, batches=2)},
            {},
            "per_class = 60 in 2 batches are 1,200 examples of 10 classes, and there are 1,197",
        ),
        ({"at": steps(50)}, {}, "Prune.at = steps.50.: step 50 lies beyond the end"),
    ],
)
def test_it_is_refused_by_the_plan(lab: Any, prune: Any, changes: Any, message: str) -> None:
    if "data" in changes:
        changes = {**changes, "model": Model("lenet_20_10")}
    with pytest.raises(ConfigError, match=message):
        make_plan(early(lab, changes=changes, **prune))

"""Masks found before training: ladders of densities, steps of scoring, the examples they look at, random masks."""

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lth_ray import models, pruning
from lth_ray.config import (
    ConfigError,
    Model,
    Prune,
    RandomMask,
    Rescored,
    Rewind,
    Scoring,
    Table,
    Train,
    set_fields,
    steps,
)
from lth_ray.lottery import carry_out, load_ticket, make_plan
from lth_ray.lottery.execution import execute
from lth_ray.training import Team
from tests.training.teams import together

DENSITIES = [0.5, 0.1, 0.02]
LADDER = {"fraction": None, "rounds": None, "remaining": DENSITIES, "at": steps(0), "scope": "global"}


def early(lab: Any, *, changes: Any = None, rewind: Any = None, **prune: Any) -> Any:
    fields = {f"prune.{name}": value for name, value in {**LADDER, **prune}.items()}
    return lab.study({**fields, **(changes or {})}, rewind=[rewind or steps(0)])


def masks(ran: Any, lineage: int = 0) -> list[dict[str, torch.Tensor]]:
    number = len(ran.plan.lineages[lineage].rounds)
    return [load_ticket(ran.key(r, lineage), ran.store.uri).mask for r in range(1, number)]


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def initial(ran: Any) -> nn.Module:
    """The network as it was drawn."""
    dense = load_ticket(ran.key(0), ran.store.uri)
    network = models.build("lenet_20_10", input_shape=(1, 8, 8))
    state = dense.rewind_state or dense.trained_state
    assert state is not None
    network.load_state_dict(state)
    return network


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


# What is scored by ------------------------------------------------------------------------------------------------


def batches(ran: Any, per_class: int, number: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The first of each class in the order of training, by plain counting."""
    lineage = ran.plan.lineages[0]
    task = lineage.recipe.task
    loaded = task.load()
    found: list[list[tuple[torch.Tensor, int]]] = [[] for _ in range(number)]
    seen = [0] * 10
    for i in range(5):
        inputs, labels = task.evidence(loaded, lineage.seeds.order, i)
        for one, label in zip(inputs, labels.tolist(), strict=True):
            if seen[label] < per_class * number:
                found[seen[label] // per_class].append((one, label))
            seen[label] += 1
    return [(torch.stack([x for x, _ in part]), torch.tensor([y for _, y in part])) for part in found]


@pytest.mark.parametrize("criterion", ["snip", "grasp"])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_a_balanced_sample_of_several_batches(lab: Any, criterion: str, mode: str) -> None:
    scoring = Scoring(mode, per_class=4, batches=3)
    ran = lab.run(early(lab, criterion=criterion, scoring=scoring, remaining=[0.2]))
    network = initial(ran)
    full = pruning.dense_mask(network)
    sample = batches(ran, 4, 3)
    assert all(labels.bincount().tolist() == [4] * 10 for _, labels in sample)
    scores = pruning.score(criterion, network, full, batch=sample, mode=mode)
    total = pruning.kept(full)
    assert equal(masks(ran)[0], pruning.prune_counts(scores, full, total - round(0.2 * total)))


def test_inverted_scores_keep_what_the_others_prune_first(lab: Any) -> None:
    ran = lab.run(early(lab, criterion="snip", remaining=[0.5]))
    inverted = lab.run(early(lab, criterion="snip", remaining=[0.5], scoring=Scoring(invert=True)), "inverted")
    upright, upside_down = masks(ran)[0], masks(inverted)[0]
    total = pruning.kept(pruning.dense_mask(initial(ran)))
    both = sum(int((upright[name] & upside_down[name]).sum()) for name in upright)
    assert pruning.kept(upside_down) == round(0.5 * total)
    assert both <= 1


@pytest.mark.parametrize("data", ["half", "random_labels", "random_pixels"])
@pytest.mark.parametrize("per_class", [None, 3])
def test_other_data_give_another_mask_of_the_same_size(lab: Any, data: str, per_class: int | None) -> None:
    scoring = Scoring(data=data, per_class=per_class)
    plan = make_plan(early(lab, criterion="snip", remaining=[0.2], scoring=scoring))
    lineage = plan.lineages[0]
    task, identity = lineage.recipe.task, lineage.recipe.identity
    loaded = task.load()
    (plain,) = pruning.sample(task, identity, loaded, Scoring(per_class=per_class), lineage.seeds.order, 5)
    (other,) = pruning.sample(task, identity, loaded, scoring, lineage.seeds.order, 5)
    if data == "half":
        half = 20 if per_class else (len(plain[1]) + 1) // 2
        assert len(other[1]) == half
        assert (other[1].bincount() == 2).all() or per_class is None
    else:
        assert torch.equal(other[0], plain[0]) == (data == "random_labels")
        assert torch.equal(other[1], plain[1]) == (data == "random_pixels")
        assert torch.equal(other[1].bincount(), plain[1].bincount())
        assert torch.equal(other[0].flatten(1).sort().values, plain[0].flatten(1).sort().values)
    mask = lineage.rounds[1].segment.mask
    assert (mask.seed is None) == (data == "half")


def test_places_of_an_image_keep_their_channels_together() -> None:
    images = torch.arange(2 * 3 * 4).view(1, 2, 3, 4).float()
    from lth_ray.pruning.sample import _scattered

    found = _scattered(images, 0, "pixels/0")
    assert not torch.equal(found, images)
    assert torch.equal(found[:, 1], found[:, 0] + 12)


def test_every_worker_of_a_team_has_the_leaders_mask(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    study = early(lab, changes={"train.batch_norm_group": 30}, criterion="grasp", iterations=3, remaining=[0.2])
    alone = masks(lab.run(study, "alone"))[0]
    plan, made = make_plan(study), execute.network

    def work(team: Team) -> Any:
        seen = []

        def network(segment: Any, mask: Any) -> nn.Module:
            seen.append({} if mask is None else mask)
            return made(segment, mask)

        monkeypatch.setattr(execute, "network", network)
        for job in plan.jobs:
            for one in job.pieces:
                carry_out(one, lab.store("team"), one.recipe.task.load(), "cpu", team=team)
        return seen[-1]

    found = together(2, work)
    assert all(equal(mask, alone) for mask in found)


# Sanity checks ----------------------------------------------------------------------------------------------------


def test_tickets_are_scored_otherwise_as_branches(lab: Any) -> None:
    """An inverted mask, and those of spoilt data, at the ticket's own density; what is another arm's is shared."""
    checks = [Rescored({"invert": True}), Rescored({"data": "half"}), Rescored({"data": "random_labels"}, copies=2)]
    study = early(lab, criterion="snip", remaining=[0.3])
    arms = {"upright": {"branches": checks}, "inverted": {"prune.scoring": Scoring(invert=True)}}
    ran = lab.run(replace(study, arms=arms))
    assert [(row["branch"], row["index"]) for row in ran.branches] == [("rescored", i) for i in (0, 0, 0, 1)]
    assert len({row["remaining_weights"] for row in [*ran.tickets[1::2], *ran.branches]}) == 1
    found = [load_ticket(row["key"], ran.store.uri).mask for row in ran.branches]
    own, inverted = masks(ran, 0)[0], masks(ran, 1)[0]
    assert equal(found[0], inverted)
    assert ran.branches[0]["key"] == ran.key(1, 1)
    assert ran.steps == 40 * 5
    assert not any(equal(one, own) for one in found)
    assert not equal(found[2], found[3])


@pytest.mark.parametrize(
    ("branches", "prune", "message"),
    [
        ([Rescored({"data": "half"})], {"criterion": "magnitude"}, "the criterion 'magnitude' looks at no examples"),
        ([RandomMask(branches=[Rescored({"invert": True})])], {}, "a copied or random mask has none"),
        ([Rescored({"per_class": 2})], {"criterion": "synflow"}, "'synflow' looks at no examples"),
    ],
)
def test_what_cannot_be_scored_otherwise(lab: Any, branches: Any, prune: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_plan(replace(early(lab, **prune), branches=branches))


# What cannot be ---------------------------------------------------------------------------------------------------


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
        ({"at": steps(50)}, {}, "Prune.at = steps.50.: step 50 lies beyond the end"),
    ],
)
def test_it_is_refused_by_the_plan(lab: Any, prune: Any, changes: Any, message: str) -> None:
    if "data" in changes:
        changes = {**changes, "model": Model("lenet_20_10")}
    with pytest.raises(ConfigError, match=message):
        make_plan(early(lab, changes=changes, **prune))


def test_too_few_of_a_class_are_named_with_it(lab: Any) -> None:
    with pytest.raises(ConfigError, match=r"1 x 500 examples of each class are asked for, and of class \d there are"):
        lab.run(early(lab, criterion="snip", remaining=[0.2], scoring=Scoring(per_class=500)))


def test_the_studys_own_loss_gives_the_scores(lab: Any) -> None:
    def of_class_0(model: nn.Module, batch: Any) -> Any:
        return F.softplus(-model(batch[0])[:, 0]).mean(), {}

    train = Train(steps(2), optimizer="sgd", lr=0.1, loss=of_class_0, evaluate_every=steps(2))
    ran = lab.run(early(lab, changes={"train": train}, criterion="grasp", remaining=[0.05]))
    network = initial(ran)
    lineage = ran.plan.lineages[0]
    full, batch = (
        pruning.dense_mask(network),
        lineage.recipe.task.evidence(lineage.recipe.task.load(), lineage.seeds.order),
    )
    scores = pruning.score("grasp", network, full, batch=batch, loss=of_class_0)
    total = pruning.kept(full)
    assert equal(masks(ran)[0], pruning.prune_counts(scores, full, total - round(0.05 * total)))


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

"""Scratch-E and Scratch-B: the small network's own initial weights, and a training as long as operations last."""

from dataclasses import replace
from math import sqrt
from typing import Any

import pytest
import torch

from lth_ray import models
from lth_ray.config import ConfigError, Guided, Model, Prune, Scratch, Train, epochs, steps
from lth_ray.data import Identity
from lth_ray.lottery import load_ticket, make_plan
from lth_ray.lottery.execution.networks import build
from lth_ray.models.flops import forward_flops, uses_of_weights
from lth_ray.pruning.structured import without_dead_units
from lth_ray.training import Recipe
from tests.lottery.conftest import BASE
from tests.lottery.test_structured import ALL, Residual, channels

CHANGES = {
    "model": Model(Residual),
    "train": Train(epochs(2), optimizer="sgd", lr=0.05, milestones=[epochs(1)], evaluate_every=epochs(1)),
    "prune": channels(rounds=1, fraction=0.5),
}
EPOCH = 1197 // 60


def of_branch(ran: Any, number: int = 0) -> tuple[Any, Any]:
    result = [one for one in ran.plan.branches if one.round == 1][number]
    return load_ticket(result.segment.key, ran.store.uri), ran.store.segment(result.segment.key)


def test_budgets(lab: Any) -> None:
    study = lab.study(CHANGES, branches=[Scratch(), Scratch("flops"), Scratch("flops", at_most=epochs(3))])
    ran = lab.run(study)
    assert not ran.failures
    ticket = load_ticket(ran.key(1), ran.store.uri)
    network = Residual(10)
    uses = uses_of_weights(network, (torch.zeros(1, 1, 8, 8),))
    share = forward_flops(network, uses) / forward_flops(network, uses, ticket.mask)
    longest = int(2 * share)
    assert longest > 3
    found = [of_branch(ran, number)[1] for number in range(3)]
    assert [record["train_steps"] for record in found] == [2 * EPOCH, longest * EPOCH, 3 * EPOCH]
    assert [record["last"] for record in found] == [2 * EPOCH, longest * EPOCH, 3 * EPOCH]
    rates = [dict(zip(record["journal"]["step"], record["journal"]["lr"], strict=True)) for record in found[:2]]
    for rate, last in zip(rates, (2, longest), strict=True):
        dropped = {step for step, one in rate.items() if one < 0.04}
        assert min(dropped) > (last // 2) * EPOCH >= max(rate.keys() - dropped)
    for number in range(3):
        branch, _ = of_branch(ran, number)
        assert all(torch.equal(branch.mask[name], keeps) for name, keeps in ticket.mask.items())
        assert all(not branch.trained_state[name][~keeps].any() for name, keeps in ticket.mask.items())
    assert [row["retrain_epochs"] for row in ran.branches] == pytest.approx([2, longest, 3])
    again = lab.run(study)
    assert again.steps == 0
    assert not again.plan.jobs


def test_kills_of_a_stretched_training(lab: Any) -> None:
    study = lab.study(CHANGES, branches=[Scratch("flops")], keep="all")
    whole = lab.run(study, "whole")
    before = lab.interrupted(study, 6 * EPOCH, every_s=0)
    again = lab.run(study, every_s=0)
    assert before + again.steps == whole.steps + 1
    assert again.contents == whole.contents
    assert not lab.run(study).plan.jobs


def test_weights_are_drawn_by_the_fans_of_the_small_layers() -> None:
    """Of the variances that the small network's own layers would have."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(64, 128, 3), torch.nn.Flatten(), torch.nn.Linear(128, 50))
    mask = {
        "0.weight": (torch.arange(128) % 2 == 0)[:, None, None, None] & (torch.arange(64) % 4 == 0)[:, None, None],
        "2.weight": (torch.arange(128) % 2 == 0).expand(50, 128),
    }
    mask["0.weight"] = mask["0.weight"].expand(128, 64, 3, 3)
    state = {name: one.detach() for name, one in network.named_parameters()}
    for init, factors in {
        "kaiming": (2.0, sqrt(2)),
        "glorot": (sqrt((64 + 128) / (16 + 64)), sqrt((128 + 50) / (64 + 50))),
        None: (2.0, sqrt(2)),
        0.1: (1.0, 1.0),
    }.items():
        found = models.small_initial(network, state, mask, init)
        for name, factor in zip(("0.weight", "2.weight"), factors, strict=True):
            assert torch.allclose(found[name], state[name] * factor)
        assert torch.allclose(found["0.bias"], state["0.bias"] * (2.0 if init is None else 1.0))
    sparse = torch.rand(128, 64, 3, 3) < 0.25
    found = models.small_initial(network, state, {"0.weight": sparse}, "kaiming")
    each = int(sparse.sum()) / 128
    assert torch.allclose(found["0.weight"], state["0.weight"] * sqrt(64 * 9 / each))


def test_fans_of_a_weight_that_lies_the_other_way() -> None:
    """[inputs, outputs], as transformers' Conv1D has it."""
    utils = pytest.importorskip("transformers.pytorch_utils", reason="Conv1D needs the extra `text`")
    layer = utils.Conv1D(6, 8)
    state = {name: one.detach() for name, one in layer.named_parameters()}
    mask = {"weight": (torch.arange(8) < 2)[:, None].expand(8, 6)}
    found = models.small_initial(layer, state, mask, "kaiming")
    assert torch.allclose(found["weight"], state["weight"] * sqrt(8 / 2))


def test_a_ticket_starts_small(lab: Any) -> None:
    short = {"train.length": steps(2), "train.milestones": [steps(1)], "train.evaluate_every": steps(2)}
    ran = lab.run(lab.study({**CHANGES, **short}, branches=[Scratch(), Scratch(initialisation="full")]))
    for number, scaled in enumerate((True, False)):
        segment = [one for one in ran.plan.branches if one.round == 1][number].segment
        ticket, source = of_branch(ran, number)[0], segment.start
        drawn = build(segment.recipe, source.initial.seed if scaled else source.seed).state_dict()
        kept, rows = ticket.mask["inner.weight"], ticket.mask["inner.bias"]
        inputs = int(kept.any(0).any(1).any(1).sum())
        assert inputs < 6
        factor = sqrt(6 / inputs) if scaled else 1.0
        for name, keeps in {"inner.weight": kept, "inner.bias": rows}.items():
            assert torch.allclose(ticket.rewind_state[name][keeps], drawn[name][keeps] * factor)


def test_channels_pruned_by_their_scale_take_what_reads_them_along() -> None:
    network = models.build("cifar_vgg11_4")
    parameters = dict(network.named_parameters())
    layers = models.unit_layers(network, (torch.zeros(1, 3, 32, 32),))
    keeps = torch.tensor([True, False, True, False])
    mask = {
        "layers.0.conv.weight": keeps[:, None, None, None].expand(4, 3, 3, 3),
        "layers.0.norm.weight": keeps,
        "layers.0.norm.bias": keeps,
    }
    whole = without_dead_units(mask, layers, parameters)
    assert torch.equal(whole["layers.1.conv.weight"], keeps[None, :, None, None].expand(8, 4, 3, 3))
    assert set(whole) == {*mask, "layers.1.conv.weight"}


def test_lengths_are_stretched_in_whole_epochs() -> None:
    train = Train(epochs(160), lr=0.1, milestones=[epochs(80), epochs(120)])
    recipe = Recipe(Model("lenet_20_10"), BASE.data, train, Identity("x", 1200, 0, 10, (1, 8, 8), 10))
    assert recipe.stretched(2.347) == int(160 * 2.347) * 20
    longer = recipe.lasting(375 * 20).train
    assert (longer.length, longer.milestones) == (epochs(375), (epochs(187), epochs(281)))
    in_steps = Recipe(recipe.model, recipe.data, Train(steps(1001), lr=0.1, milestones=[steps(500)]), recipe.identity)
    assert in_steps.stretched(1.5) == 1501
    assert in_steps.lasting(1501).milestone_steps == (int(500 / 1001 * 1501),)
    uneven = Recipe(recipe.model, recipe.data, Train(steps(22), lr=0.1, milestones=[steps(15)]), recipe.identity)
    assert uneven.lasting(22).milestone_steps == (15,)  # as binary fractions 15 / 22 x 22 is less
    assert recipe.stretched(9.0, at_most=181 * 20 + 3) == 181 * 20


def test_what_is_refused(lab: Any) -> None:
    with pytest.raises(ConfigError, match="only budget='flops' makes it longer"):
        Scratch(at_most=epochs(3))
    with pytest.raises(ConfigError, match=r"Scratch.at_most = epochs\(1\): the dense network is trained"):
        make_plan(lab.study(CHANGES, branches=[Scratch("flops", at_most=epochs(1))]))
    unstructured = lab.study({**CHANGES, "prune": Prune(fraction=0.5, rounds=1)}, branches=[Scratch("flops")])
    assert make_plan(unstructured).branches
    assert {layer.kind for layer in ALL} == {"channels", "neurons"}


@pytest.mark.parametrize(
    ("branch", "init"),
    [(Scratch(), "orthogonal"), (Scratch("flops"), "sparse"), (Guided("positions", model=Model("conv2_4")), "kaiming")],
)
def test_weights_of_a_smaller_network_that_do_not_follow_from_the_full_one_s_are_refused(
    lab: Any, branch: Any, init: str
) -> None:
    if isinstance(branch, Guided):
        branch = replace(branch, model=replace(branch.model, init="orthogonal"))
    study = lab.study({**CHANGES, "model.init": init}, branches=[branch])
    what = type(branch).__name__
    with pytest.raises(ConfigError, match=rf"{what}.*Model.init = .*: a smaller network's weights are not its own but"):
        make_plan(study)
    if isinstance(branch, Scratch):
        assert make_plan(lab.study({**CHANGES, "model.init": init}, branches=[replace(branch, initialisation="full")]))


def constants(network: Any) -> None:
    for number, value in enumerate(network.parameters()):
        value.data.copy_(torch.linspace(-0.1, 0.1, value.numel()).view(value.shape) * (number + 1))


def test_a_study_begins_with_an_initialisation_of_its_own(lab: Any) -> None:
    ran = lab.run(
        lab.study(
            {"model.init": constants, "prune.rounds": 1},
            seeds=[0, 1],
            branches=[Scratch(rounds=[1], initialisation="full")],
        )
    )
    assert not ran.failures
    dense, other = (load_ticket(ran.key(0, number), ran.store.uri).rewind_state for number in (0, 1))
    assert torch.equal(dense["fc1.bias"], torch.linspace(-0.1, 0.1, 20) * 2)
    assert all(torch.equal(other[name], value) for name, value in dense.items())  # it draws nothing
    assert {lineage.recipe.functions[0][0] for lineage in ran.plan.lineages} == {"Model.init"}
    key = ran.key(0)
    named, again = (
        make_plan(lab.study({"model.init": constants, "model.version": v})).lineages[0].dense.key for v in "23"
    )
    assert len({key, named, again}) == 3

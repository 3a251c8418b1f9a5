"""Tickets trained on something else: data, training, network; their controls, cost, and mistakes."""

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from lth_ray.config import (
    ConfigError,
    Cyclic,
    Model,
    PermutedMask,
    Prune,
    RandomMask,
    RandomReinit,
    Rewind,
    Scratch,
    ShuffledMask,
    Transfer,
    epochs,
    steps,
    told,
)
from lth_ray.config.declared import declaration, restore
from lth_ray.data import load
from lth_ray.data.order import permutation
from lth_ray.lottery import load_ticket, make_plan
from lth_ray.lottery.cost import Costs
from lth_ray.lottery.kept.records import segments
from lth_ray.models import build
from tests.lottery.conftest import BASE

TWO = {"classes": [3, 5]}
NET = {"model": Model("cifar_resnet14_4"), "train.length": steps(6), "train.evaluate_every": steps(3)}
OTHER = {"data.classes": [0, 1, 2, 3], "data.part": "b", "train.optimizer": "sgd", "train.lr": 0.05}


def found(lab: Any, result: Any) -> Any:
    return load_ticket(result.segment.key, lab.store().uri)


def state(lab: Any, segment: Any, step: int) -> dict[str, torch.Tensor]:
    return lab.store().load_state(segment.trajectory, step).model


@pytest.mark.parametrize("k", [0, 10])
def test_a_transfer_to_what_it_was_found_on_is_the_ticket_s_own_training(lab: Any, k: int) -> None:
    """By its key, so that it costs nothing: of whole fields, of changes that change nothing, at any rewind point."""
    own = [
        Transfer({}, length="ticket"), Transfer({"name": "digits", "train.lr": 1.2e-3}, length="ticket"),
        Transfer({"data": BASE.data, "model": BASE.model, "train": BASE.train}, length="ticket", output="redrawn"),
    ]  # fmt: skip
    study = lab.study(rewind=[Rewind(steps(k), optimizer="restored")], branches=own)
    ran, plain = lab.run(study), lab.whole(replace(study, branches=[]))
    assert ran.plan.keys == plain.plan.keys
    assert ran.plan.branch_steps == 0
    of_tickets = {row["round"]: row["content"] for row in plain.tickets}
    assert {(row["round"], row["content"]) for row in ran.branches} == set(of_tickets.items())
    whole = make_plan(replace(study, branches=[Transfer({})]))
    assert (whole.keys == plain.plan.keys) == (k == 0)  # else it is longer: from step 0 on the weights of step k


def test_another_training_sets_out_from_the_ticket_on_the_other_data(lab: Any) -> None:
    study = lab.study({"prune.exclude": ["output*"]}, rewind=[epochs(0.5)], branches=[
        Transfer(OTHER, length="ticket", rounds=[2]), Transfer({"data.part": "b"}, output="redrawn", rounds=[2]),
    ])  # fmt: skip
    ran = lab.run(study)
    lineage = ran.plan.lineages[0]
    ticket = load_ticket(ran.key(2), lab.store().uri)
    other, redrawn = (found(lab, result) for result in ran.plan.branches)
    segments = [result.segment for result in ran.plan.branches]
    recipe = segments[0].recipe
    assert (recipe.train.optimizer, recipe.train.lr, recipe.identity.num_classes) == ("sgd", 0.05, 4)
    assert (segments[0].first, segments[1].first) == (recipe.steps_per_epoch // 2, 0)
    assert lineage.rewind_step == 9 != segments[0].first  # half an epoch of the other data
    for name, keeps in ticket.mask.items():
        for moved in (other, redrawn):
            assert torch.equal(moved.mask[name], keeps)
            assert torch.equal(moved.rewind_state[name], ticket.rewind_state[name])
            assert not moved.trained_state[name][~keeps].any()
    new = build("lenet_20_10", 10, input_shape=(1, 8, 8), init="default", seed=lineage.drawn.seed).state_dict()
    assert other.rewind_state["output.weight"].shape == (4, 10)
    assert torch.equal(redrawn.rewind_state["output.weight"], new["output.weight"])
    assert not torch.equal(ticket.rewind_state["output.weight"], new["output.weight"])


def test_the_control_has_as_many_weights_elsewhere_and_new_ones(lab: Any) -> None:
    ran = lab.run(
        lab.study(branches=[Transfer(OTHER, start="random", copies=2, rounds=[2]), Transfer(OTHER, rounds=[2])])
    )
    *controls, moved = (found(lab, result) for result in ran.plan.branches)
    kept = sum(int(keeps.sum()) for keeps in moved.mask.values())
    for control in controls:
        assert control.mask.keys() == moved.mask.keys()  # without the output layer, which is of other classes
        assert sum(int(keeps.sum()) for keeps in control.mask.values()) == kept
        assert any(keeps.sum() != moved.mask[name].sum() for name, keeps in control.mask.items())  # over all layers
        keeps = control.mask["fc1.weight"] & moved.mask["fc1.weight"]
        assert not torch.equal(control.rewind_state["fc1.weight"][keeps], moved.rewind_state["fc1.weight"][keeps])
    assert not torch.equal(controls[0].mask["fc1.weight"], controls[1].mask["fc1.weight"])


def test_an_output_layer_that_is_left_out_is_dense_in_the_control_too(lab: Any) -> None:
    """Whatever the ticket has of it: all of it, here, which is permuted with no other layer."""
    study = lab.study(
        {"prune.fraction": {"fc*": 0.5, "output*": 0.001}, "prune.rounds": 1},
        branches=[Transfer(OTHER, start="random", rounds=[1])],
    )
    ran = lab.run(study)
    ticket, control = load_ticket(ran.key(1), lab.store().uri), found(lab, ran.plan.branches[0])
    assert bool(ticket.mask["output.weight"].all())
    assert "output.weight" not in control.mask
    assert bool(control.trained_state["output.weight"].all())


def test_a_deeper_network_takes_over_masks_and_weights_and_a_wider_one_masks(lab: Any) -> None:
    changes = [{"model.name": "cifar_resnet20_4"}, {"model.name": "cifar_resnet14_8"}]
    study = lab.study(
        {**NET, "prune.fraction": 0.5, "prune.scope": "global"},
        branches=[Transfer(one, rounds=[2]) for one in changes],
    )
    ran = lab.run(study)
    ticket = load_ticket(ran.key(2), lab.store().uri)
    deep, wide = (found(lab, result) for result in ran.plan.branches)
    for i, of in enumerate((0, 0, 1, 2, 3, 3, 4, 5, 5)):
        for part in ("conv1.weight", "conv2.weight"):
            keeps, given = ticket.mask[f"blocks.{of}.{part}"], ticket.rewind_state[f"blocks.{of}.{part}"]
            assert torch.equal(deep.mask[f"blocks.{i}.{part}"], keeps)
            assert torch.equal(deep.rewind_state[f"blocks.{i}.{part}"], given)
            doubled = keeps.repeat_interleave(2, 0).repeat_interleave(2, 1)
            assert torch.equal(wide.mask[f"blocks.{of}.{part}"], doubled)
    new = build("cifar_resnet14_8", 10, input_shape=(1, 8, 8), seed=ran.plan.lineages[0].drawn.seed).state_dict()
    name = "blocks.1.conv2.weight"
    assert torch.equal(wide.rewind_state[name], new[name].masked_fill(~wide.mask[name], 0.0))
    assert wide.mask["conv.weight"].shape[:2] == (8, 1)


def test_a_transfer_killed_goes_on_where_it_was(lab: Any) -> None:
    study = lab.study(branches=[Transfer(OTHER, rounds=[1]), Transfer(OTHER, start="random", rounds=[1])])
    whole = lab.whole(study)
    lab.interrupted(study, at=3 * 40 + 25, every_s=0.0)
    again = lab.run(study, every_s=0.0)
    assert 0 < again.steps < 2 * 40
    assert again.contents == whole.contents


def test_the_source_s_training_is_counted(lab: Any) -> None:
    """ticket_flops has the dense source, its rounds and the transfer; a control the same, less weights it never had."""
    ran = lab.run(lab.study(branches=[Transfer(OTHER, rounds=[2])]))
    (result,) = ran.plan.branches
    records = {row["key"]: lab.store().segment(row["key"]) for row in [*ran.tickets, *ran.branches]}
    spent = Costs(ran.plan).spent(result.segment, segments(records).get)
    assert {one.segment.key for one in spent} == {ran.key(0), ran.key(1), result.segment.key}
    (row,) = ran.branches
    assert row["search_epochs"] == pytest.approx(40 / 19 + 40 / result.segment.recipe.steps_per_epoch)
    assert row["ticket_flops"] > row["search_flops"] > 0


def test_its_accuracy_in_plain_torch(lab: Any) -> None:
    """A transferred ticket's training, written out: masked weights, plain SGD, the order that the study states."""
    changes = {"data.classes": [0, 1, 2, 3], "train.optimizer": "sgd", "train.lr": 0.05, "train.backend": "eager"}
    ran = lab.run(lab.study(branches=[Transfer(changes, rounds=[2])]))
    (result,), (row,) = ran.plan.branches, ran.branches
    ticket, recipe = load_ticket(ran.key(2), lab.store().uri), result.segment.recipe
    data = load(recipe.data)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, 10), nn.ReLU(), nn.Linear(10, 4))
    start = found(lab, result).rewind_state
    with torch.no_grad():
        for layer, name in zip((network[1], network[3], network[5]), ("fc1", "fc2", "output"), strict=True):
            of = start if name == "output" else ticket.rewind_state
            layer.weight.copy_(of[f"{name}.weight"])
            layer.bias.copy_(of[f"{name}.bias"])
    masks = [ticket.mask["fc1.weight"], ticket.mask["fc2.weight"]]

    def normal(images: torch.Tensor) -> torch.Tensor:
        return (images.float() / 16 - data.mean[0]) / data.std[0]

    epoch = recipe.steps_per_epoch
    for step in range(40):
        order = torch.from_numpy(permutation(result.segment.seeds.order, step // epoch, len(data.train)))
        rows = order[step % epoch * 60 : (step % epoch + 1) * 60]
        network.zero_grad()
        nn.functional.cross_entropy(network(normal(data.train.images[rows])), data.train.labels[rows]).backward()
        with torch.no_grad():
            for value in network.parameters():
                value -= 0.05 * value.grad
            network[1].weight *= masks[0]
            network[3].weight *= masks[1]
    right = network(normal(data.test.images)).argmax(1) == data.test.labels
    assert row["test_accuracy"] == pytest.approx(right.float().mean().item(), abs=1e-6)
    assert 0.4 < row["test_accuracy"] < 1


def test_it_is_told_in_few_words_and_recorded_whole(lab: Any) -> None:
    branch = Transfer({"data": replace(BASE.data, part="a"), "train.length": steps(9)}, start="random")
    assert told(branch) == ("data=digits-validation=200-digits-part=a,train.length=steps(9)", "start=random")
    assert restore(json.loads(json.dumps(declaration(branch)))) == branch


WRONG: dict[str, tuple[Transfer | Any, str]] = {
    "a part": (lambda: Transfer({"prune.fraction": 0.5}), "Transfer.changes = 'prune.fraction': fields of data"),
    "a field of Train": (lambda: Transfer({"train.learning": 1}), "Transfer.changes: Train has no field 'learning': "),
    "a field of Model": (lambda: Transfer({"model.nam": "x"}), "Model has no field 'nam': did you mean name"),
    "a field of Data": (lambda: Transfer({"data.nam": "x"}), "Data has no field 'nam': did you mean name"),
    "a part of another kind": (lambda: Transfer({"train": {"lr": 1}}), r"Transfer.changes\['train'\] = .*give a Train"),
    "weights": (lambda: Transfer({"model.weights": "a.pt"}), "it has those of the ticket; leave model.weights out"),
    "a folder": (lambda: Transfer({"model.name": "hf:bert"}), "the network is given pretrained weights"),
    "a value": (lambda: Transfer({"train.lr": -1}), r"Train.lr = -1"),
    "an unknown set": (lambda: Transfer({"name": "minst"}), "no such data set; did you mean mnist"),
    "another shape": (
        lambda: Transfer({"channels": 3}),
        r"Transfer.changes = {'channels': 3}: layer 'fc1' is \[20, 192\], and 'fc1.weight' of the ticket's network "
        r"\[20, 64\]: its inputs are no units",
    ),
    "another family": (lambda: Transfer({"model.name": "conv2_4"}), "Transfer.changes = .*: layer"),
    "a size that the network cannot take": (lambda: Transfer({"model.name": "cifar_vgg11"}), "8x8 is too small"),
    "a long k": (
        lambda: Transfer({"train.length": steps(5)}, length="ticket"),
        "Transfer.length = 'ticket': the rewind point .* lies beyond the end of a training of",
    ),
    **{
        f"the study's training beside another's: {type(branch).__name__} on {on}": (
            lambda on=on, branch=branch: replace(on, rounds=[1], branches=[branch]),
            f"{type(branch).__name__}: it trains by the study's data and recipe, and what it hangs on",
        )
        for on, branch in (
            (Transfer({"part": "a"}), RandomReinit()), (Transfer({"train.lr": 0.1}), RandomReinit()),
            (Transfer({"part": "a"}), Cyclic(2)), (Transfer({"part": "a"}), Scratch()),
            (Transfer({"part": "a"}), PermutedMask("none")), (Cyclic(2), RandomReinit()),
        )
    },
    "another's network": (
        lambda: Transfer({"model.name": "lenet_40_10"}, rounds=[1], branches=[
            ShuffledMask(branches=[Transfer({"part": "a"})])
        ]),
        "Transfer: it is of the study's network",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_mistakes_are_named_by_the_plan(lab: Any, case: str) -> None:
    make, why = WRONG[case]
    with pytest.raises(ConfigError, match=why):
        make_plan(lab.study(rewind=[steps(10)], branches=[make()]))


def test_what_has_no_rewind_point_elsewhere_is_refused(lab: Any) -> None:
    moved = [Transfer({"part": "a"}, length="ticket")]
    with pytest.raises(ConfigError, match=r"Transfer.length = 'ticket': .* 'fine_tune' have no rewind point"):
        make_plan(lab.study(rewind=[Rewind(steps(10), method="fine_tune")], branches=moved))
    own = [Transfer({}, length="ticket")]
    assert make_plan(lab.study(rewind=[Rewind(steps(10), method="fine_tune")], branches=own)).branch_steps == 0
    units = {"prune": Prune("l1", structure="neurons", scope="layer", fraction=0.5, rounds=1)}
    with pytest.raises(ConfigError, match=r"Transfer.start = 'random': it permutes single weights"):
        make_plan(lab.study(units, branches=[Transfer({"part": "a"}, start="random")]))


def test_what_keeps_to_its_host_s_training_hangs_on_transfers(lab: Any) -> None:
    plan = make_plan(lab.study(branches=[Transfer({"part": "a"}, rounds=[1], branches=[RandomMask()])]))
    transfer, control = (result.segment for result in plan.branches)
    assert control.recipe.meaning() == transfer.recipe.meaning() != plan.lineages[0].recipe.meaning()

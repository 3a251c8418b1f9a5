"""Tickets with perturbed, pretrained and transferred weights, learned masks, and what tickets are made of."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch

from lth_ray.config import (
    ConfigError,
    MaskOverlap,
    Model,
    Perturb,
    Perturbation,
    Pretrain,
    Prune,
    RandomMask,
    Rewind,
    SignFlips,
    Study,
    Supermask,
    Table,
    Train,
    Transfer,
    Weights,
    steps,
)
from lth_ray.lottery import load_ticket, make_plan
from tests.lottery.conftest import BASE


def ticket_of(lab: Any, ran: Any, number: int) -> Any:
    return load_ticket(ran.key(number), lab.store().uri)


def test_perturbations_change_kept_weights_and_nothing_else(lab: Any) -> None:
    kinds = [
        Perturb(), Perturb("init"), Perturb(signs="init"), Perturb("init", signs="rewound"), Perturb("redrawn"),
        Perturb("shuffle_layer", signs="rewound"), Perturb("constant", signs="rewound"), Perturb(noise=0.5),
        Perturb("grown"), Perturb("final"), Perturb("redrawn", signs="final"), Perturb(flipped=0.5),
        Perturb(pruned="init"), Perturb(pruned="grown"), Perturb("shuffle_global", copies=2),
    ]  # fmt: skip
    ran = lab.run(lab.study(rewind=[steps(10)], branches=[replace(kind, rounds=[2]) for kind in kinds]))
    assert ran.plan.branch_steps == (len(kinds) + 1) * 30
    assert make_plan(lab.study(branches=[Perturb(flipped=0.0)])).keys == make_plan(lab.study(branches=[Perturb()])).keys
    ticket = ticket_of(lab, ran, 2)
    for result in ran.plan.branches:
        found = load_ticket(result.segment.key, lab.store().uri)
        assert all(torch.equal(found.mask[name], ticket.mask[name]) for name in ticket.mask)
        for name in found.rewind_state.keys() - found.mask.keys():
            assert torch.equal(found.rewind_state[name], ticket.rewind_state[name])
        for name, kept in found.mask.items():
            start, end = found.rewind_state[name], found.trained_state[name]
            assert torch.equal(start[~kept], end[~kept])  # zero or frozen, exactly
            assert bool(start[~kept].count_nonzero()) == (result.parameters["pruned"] != "zero")
    plain = next(result for result in ran.plan.branches if result.id.endswith("perturb-rewound-0"))
    same = load_ticket(plain.segment.key, lab.store().uri)
    assert all(torch.equal(same.trained_state[name], ticket.trained_state[name]) for name in ticket.trained_state)


def test_an_untrained_mask_is_measured_without_a_step(lab: Any) -> None:
    plain = lab.run(lab.study())
    ran = lab.run(lab.study(branches=[Perturb(trained=False), Perturb("constant", signs="rewound", trained=False)]))
    assert ran.steps == 0
    rows = [row for row in ran.branches if row["weights"] == "rewound"]
    assert [row["train_steps"] for row in rows] == [0, 0]
    assert all(0 <= row["test_accuracy"] <= 1 for row in ran.branches)
    assert plain.contents.items() <= ran.contents.items()


def test_an_untrained_network_at_a_step_has_all_its_weights_of_then(lab: Any) -> None:
    at_start = Perturb(at=steps(0), trained=False)
    late, early = (
        lab.run(lab.study(rewind=[steps(k)], prune=replace(BASE.prune, one_shot=True), branches=[at_start]), f"k{k}")
        for k in (40, 0)
    )
    for row, other in zip(late.branches, early.branches, strict=True):
        assert row["test_loss"] == other["test_loss"]  # biases are those of step 0, not of the ticket's start
        assert row["train_steps"] == 0


def test_copies_of_a_supermask_are_different_draws(lab: Any) -> None:
    ran = lab.run(lab.study(branches=[Supermask("bernoulli", copies=2)]))
    first, second = (row["content"] for row in ran.branches)
    assert first != second


def test_what_draws_nothing_is_trained_once(lab: Any) -> None:
    ran = lab.run(lab.study(branches=[Perturb(signs="init", copies=2, rounds=[1]), Perturb(noise=1.0, copies=2)]))
    keys = [row["key"] for row in ran.branches]
    assert len(set(keys)) == 1 + 2 * 2
    alias = make_plan(lab.study({"prune.criterion": "large_final"}))
    assert alias.keys == make_plan(lab.study()).keys


def test_evaluations_keep_no_states(lab: Any) -> None:
    ran = lab.run(lab.study(branches=[Perturb("constant", trained=False)]))
    for result in ran.plan.branches:
        assert lab.store().find_state(result.segment.trajectory, 0) is None


def test_a_lineage_may_perturb_every_round(lab: Any) -> None:
    rewinds = [Rewind(steps(0)), Rewind(steps(0), perturbation=Perturbation("rewound", pruned="init"))]
    ran = lab.run(lab.study(rewind=rewinds))
    plain, frozen = (load_ticket(ran.key(2, number), lab.store().uri) for number in range(2))
    assert ran.plan.lineages[1].id == "rewound-pruned=init/k0/seed0"
    dense = load_ticket(ran.key(0), lab.store().uri)
    for name, kept in frozen.mask.items():
        assert torch.equal(frozen.trained_state[name][~kept], dense.rewind_state[name][~kept])
        assert not plain.trained_state[name][~plain.mask[name]].count_nonzero()


@pytest.mark.parametrize("pruned", ["grown", "shrunk"])
def test_what_one_round_freezes_stays_in_the_next(lab: Any, pruned: str) -> None:
    ran = lab.run(lab.study(rewind=[Rewind(steps(0), perturbation=Perturbation(pruned=pruned))]))
    first, second = (ticket_of(lab, ran, number) for number in (1, 2))
    for name, kept in first.mask.items():
        frozen = first.trained_state[name][~kept]
        assert 0 < frozen.count_nonzero() < frozen.numel()
        assert torch.equal(frozen, second.trained_state[name][~kept])


@pytest.mark.parametrize("rule", ["grown", "shrunk"])
def test_kept_and_pruned_alike_go_on_from_the_round_before(lab: Any, rule: str) -> None:
    """Each round's start, pruned weights too, is the one before's, with zeros where weights moved the wrong way."""
    ran = lab.run(
        lab.study({"prune.rounds": 3}, rewind=[Rewind(steps(0), perturbation=Perturbation(rule, pruned=rule))])
    )
    plain = lab.whole(lab.study({"prune.rounds": 3}, rewind=[Rewind(steps(0), perturbation=Perturbation(pruned=rule))]))
    tickets = [ticket_of(lab, ran, number) for number in range(4)]
    assert not ran.failures
    for before, after in pairwise(tickets):
        for name, kept in after.mask.items():
            start, ended = before.rewind_state[name], before.trained_state[name]
            wrong = start.abs() > ended.abs() if rule == "grown" else start.abs() < ended.abs()
            assert torch.equal(after.rewind_state[name], start.masked_fill(wrong, 0.0))
            assert not (kept & ~before.mask.get(name, kept)).any()  # no pruned weight is kept again
    assert ran.tickets[0]["content"] == plain.tickets[0]["content"]
    assert ran.tickets[2]["content"] != plain.tickets[2]["content"]


@pytest.mark.parametrize("criterion", ["large_init", "movement_same_sign", "snip", "grad", "small_final"])
def test_criteria_find_masks_of_one_size(lab: Any, criterion: str) -> None:
    ran = lab.run(lab.study({"prune.criterion": criterion, "prune.ties": "random"}))
    by_magnitude = lab.whole(lab.study())
    assert [row["remaining_weights"] for row in ran.tickets] == [
        row["remaining_weights"] for row in by_magnitude.tickets
    ]
    assert ran.tickets[0]["content"] == by_magnitude.tickets[0]["content"]
    assert ran.tickets[1]["content"] != by_magnitude.tickets[1]["content"]


@pytest.mark.parametrize("task", ["labels", "rotation", "random_labels"])
@pytest.mark.parametrize("sparse", [False, True])
def test_pretraining_gives_the_start(lab: Any, task: str, sparse: bool) -> None:
    ran = lab.run(lab.study(branches=[Pretrain(task, length=steps(20), sparse=sparse, rounds=[2])]))
    (result,) = ran.plan.branches
    (_, before), (_, after) = result.trainings
    assert before.num_steps == 20
    assert after.num_steps == 40
    pretrained = lab.store().load_state(before.trajectory, 20).model
    ticket, found = ticket_of(lab, ran, 2), load_ticket(after.key, lab.store().uri)
    assert all(torch.equal(found.mask[name], ticket.mask[name]) for name in ticket.mask)
    for name, value in found.rewind_state.items():
        given = pretrained[name]
        if name.startswith("output") and task == "rotation":
            assert given.shape[0] == 4
            assert torch.equal(value, ticket.rewind_state[name])
        else:
            assert torch.equal(value, given.masked_fill(~found.mask[name], 0.0) if name in found.mask else given)


def test_a_ticket_is_trained_on_more_data_from_its_start_or_its_end(lab: Any) -> None:
    branches = [Transfer({"train_images": None}, start=start, rounds=[0, 1]) for start in ("rewound", "trained")]
    ran = lab.run(lab.study({"data.train_images": 300}, branches=branches))
    assert [row["start"] for row in ran.branches] == ["rewound", "rewound", "trained", "trained"]
    assert ran.plan.lineages[0].recipe.steps_per_epoch == 5
    for result in ran.plan.branches:
        assert result.segment.recipe.steps_per_epoch == 19
        ticket = ticket_of(lab, ran, result.round)
        expected = ticket.trained_state if result.parameters["start"] == "trained" else ticket.rewind_state
        start = load_ticket(result.segment.key, lab.store().uri).rewind_state
        assert all(torch.equal(start[name], expected[name]) for name in start)


def test_a_supermask_learns_a_mask_and_leaves_the_weights(lab: Any) -> None:
    branch = Supermask("bernoulli", values="signed_constant", rescale=True, train={"lr": 0.1})
    ran = lab.run(lab.study(branches=[branch, Supermask("edge_popup", keep=0.3, rounds=[0, 2])]))
    rows = ran.branches
    assert [(row["supermask"], row["round"]) for row in rows if row["branch"] == "supermask"] == [
        ("bernoulli", 0), ("edge_popup", 0), ("edge_popup", 2),
    ]  # fmt: skip
    for result in ran.plan.branches:
        start, end = (lab.store().load_state(result.segment.trajectory, step).model for step in (0, 40))
        for name in start:
            assert torch.equal(start[name], end[name]) == name.startswith("network.")
    assert all(0 < row["learned_density"] < 1 for row in rows)


def test_what_a_ticket_is_made_of(lab: Any) -> None:
    ran = lab.run(lab.study(seeds=[0, 1], branches=[Weights(bins=10), MaskOverlap()]))
    overlaps = [row for row in ran.branches if row["branch"] == "mask_overlap"]
    assert [(row["seed"], row["other_seed"], row["round"]) for row in overlaps] == [(0, 1, 1), (0, 1, 2)]
    assert all(0 < row["jaccard"] < 1 for row in overlaps)
    weights = [row for row in ran.branches if row["branch"] == "weights"]
    assert len(weights) == 2 * 2
    assert all(row["moved_kept"] > 0 for row in weights)
    table = lab.store().table(weights[0]["key"])
    assert len(table["columns"]["layer"]) == 3 * 10


def test_sign_flips_of_tickets_networks_and_branches_are_those_of_their_own_training(lab: Any) -> None:
    hung = [SignFlips(), Perturb(flipped=0.5, rounds=[2], branches=[SignFlips()]), RandomMask(branches=[SignFlips()])]
    ran = lab.run(lab.study({"train.lr": 0.05}, rewind=[steps(10)], branches=hung))
    assert not ran.failures
    found = {(row["branch"], row["round"]): row for row in ran.branches if "sign_flips" in row["branch"]}
    initial = ran.store.load_state(ran.plan.lineages[0].dense.trajectory, 0).model
    for (path, number), row in found.items():
        host = next(r for r in ran.plan.branches if (r.path, r.round) == (path, number)).table.of[0]
        ticket = load_ticket(host, ran.store.uri)
        mask = ticket.mask or {name: initial[name] == initial[name] for name in initial if name.endswith("weight")}
        dense = initial if number == 0 else ticket.rewind_state
        kept = sum(int(keeps.sum()) for keeps in mask.values())
        flips = {
            since: sum(int((state[n] * ticket.trained_state[n] < 0)[keeps].sum()) for n, keeps in mask.items())
            for since, state in (("", dense), ("_since_init", initial))
        }
        assert 0 < row["sign_flips"] == flips[""]
        assert row["signs_flipped"] == flips[""] / kept
        own = path == "sign_flips"
        assert row.get("sign_flips_since_init") == (flips["_since_init"] if own else None)
    assert {number for path, number in found if path == "sign_flips"} == {0, 1, 2}
    assert len(found) == 3 + 1 + 2
    with pytest.raises(ConfigError, match="SignFlips: round 0 takes no step of training"):
        make_plan(lab.study({"prune.at": steps(0)}, branches=[SignFlips()]))


WRONG: dict[str, tuple[Any, str]] = {
    "grown on a random mask": (RandomMask(branches=[Perturb("grown")]), "a random mask has none; hang it on tickets"),
    "weights on a random mask": (RandomMask(branches=[Weights()]), "Weights: its mask was not found by training"),
    "on a learned mask": (Supermask("bernoulli", branches=[RandomMask(rounds=[0])]), "Supermask.branches: what it"),
    "on other dense data": (Transfer({"train_images": 99}, branches=[RandomMask()]), "RandomMask: it hangs on a dense"),
    "beyond the end": (Perturb(at=steps(41)), r"Perturb.at = steps\(41\): step 41 lies beyond the end of training"),
    "a field of Data": (
        Transfer({"train_image": 5}),
        "Transfer.changes: Data has no field 'train_image': did you mean",
    ),
    "a field of Train": (Supermask("bernoulli", train={"lrr": 1.0}), "Supermask.train: Train has no field 'lrr'"),
    "too many images": (Transfer({"train_images": 5000}), "train_images"),
}


def test_a_transfer_onto_data_with_another_metric_is_refused_by_the_plan() -> None:
    """Their results have no place in the study's columns; other rows of the same metric have."""
    branches = [Transfer({"score": "r2", "validation": 61}), Transfer({"score": "rmse"})]
    study = Study(
        "numbers", model=Model("lenet_20_10"), data=Table("diabetes", batch_size=32, validation=60, test=60),
        train=Train(steps(4), lr=0.1), prune=Prune(fraction=0.5, rounds=1), rewind=[steps(0)], seeds=[0],
    )  # fmt: skip
    assert make_plan(replace(study, branches=branches[:1])).branches
    with pytest.raises(ConfigError, match=r"Transfer.changes: .* judged by root mean square error, the study's by R²"):
        make_plan(replace(study, branches=branches))


@pytest.mark.parametrize("name", WRONG)
def test_mistakes_are_named_before_training(lab: Any, name: str) -> None:
    branch, message = WRONG[name]
    with pytest.raises(ConfigError, match=message):
        make_plan(lab.study(branches=[branch]))

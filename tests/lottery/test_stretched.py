"""Trainings whose length their masks tell (Scratch-B): what a plan says of it, and what hangs on them."""

from typing import Any

import pytest
import torch

from lth_ray import models, pruning
from lth_ray.config import (
    Barrier,
    ConfigError,
    Data,
    Model,
    Perturb,
    Prune,
    RandomMask,
    RandomReinit,
    Scratch,
    Stability,
    TicketOf,
    Train,
    Transfer,
    epochs,
    steps,
)
from lth_ray.data import Identity
from lth_ray.lottery import load_ticket, make_plan, priced
from lth_ray.lottery.execution.smaller import whole_units
from lth_ray.models.flops import forward_flops, uses_of_weights
from lth_ray.training import Recipe
from tests.lottery.test_scratch import CHANGES, EPOCH, of_branch
from tests.lottery.test_structured import channels

HUNG = [
    RandomReinit(),
    RandomMask(),
    Barrier(children=2, points=3),
    Barrier(children=2, points=3, spawn=epochs(1)),
    Stability(),
    Perturb("init", trained=False),
    Transfer({"validation": 100}, start="trained"),
]


@pytest.mark.slow
def test_branches_hang_on_them(lab: Any) -> None:
    """Those that train what it trains do so as long; what reads its end reads where it has ended."""
    ran = lab.run(lab.study(CHANGES, branches=[Scratch("flops", branches=HUNG, rounds=[1])]))
    assert not ran.failures
    last = ran.store.segment(of_branch(ran)[0].provenance["key"])["last"]
    assert last > 2 * EPOCH
    found = {one.label.partition("/")[2]: one for one in ran.plan.branches if "/" in one.path}
    rows = {row["branch"]: row for row in ran.branches}
    for name in ("random_reinit", "random_mask"):
        assert ran.store.segment(found[name].segment.key)["last"] == last
    copies = [
        key for one in found.values() if one.path.endswith("barrier") for _, s in one.trainings for key in [s.key]
    ]
    assert {ran.store.segment(key)["last"] for key in copies} == {last}
    tables = [one for one in found.values() if one.table is not None]
    assert {one.path.rpartition("/")[2] for one in tables} == {"barrier", "stability"}
    for one in tables:
        assert ran.store.table(one.key)["measurements"]["l2_distance"] > 0
    transfer = next(one for one in found.values() if one.path.endswith("transfer"))
    begins = load_ticket(transfer.segment.key, ran.store.uri).rewind_state
    ended = of_branch(ran)[0].trained_state
    assert all(torch.equal(begins[name], value) for name, value in ended.items() if value.is_floating_point())
    assert rows
    again = lab.run(lab.study(CHANGES, branches=[Scratch("flops", branches=HUNG, rounds=[1])]))
    assert again.steps == 0
    assert not again.plan.jobs


def test_a_trained_network_is_taken_from_where_it_ends(lab: Any) -> None:
    ran = lab.run(lab.study(CHANGES, branches=[Scratch("flops", branches=HUNG[-1:], rounds=[1])]))
    assert not ran.failures
    stretched, transfer = ran.plan.branches
    ended = load_ticket(stretched.segment.key, ran.store.uri)
    assert ended.record.last > 2 * EPOCH
    begins = load_ticket(transfer.segment.key, ran.store.uri).rewind_state
    assert all(torch.equal(begins[name], value) for name, value in ended.trained_state.items())
    assert not lab.run(lab.study(CHANGES, branches=[Scratch("flops", branches=HUNG[-1:], rounds=[1])])).plan.jobs


@pytest.mark.slow
def test_what_hangs_on_them_survives_kills(lab: Any) -> None:
    study = lab.study(CHANGES, branches=[Scratch("flops", branches=HUNG, rounds=[1])], keep="rewind")
    whole = lab.run(study, "whole")
    for at in (5 * EPOCH, 8 * EPOCH):
        before = lab.interrupted(study, at, f"store{at}", every_s=0)
        again = lab.run(study, f"store{at}", every_s=0)
        assert before + again.steps == whole.steps + 1
        assert again.contents == whole.contents


def test_copies_may_not_part_where_its_end_is_not_known(lab: Any) -> None:
    late = Scratch("flops", branches=[Barrier(children=2, points=3, spawn=epochs(2))])
    with pytest.raises(ConfigError, match=r"Barrier.spawn = epochs\(2\): step 38 lies where only its mask will tell"):
        make_plan(lab.study(CHANGES, branches=[late]))


def test_a_plan_counts_what_the_rule_will_leave(lab: Any) -> None:
    """The length itself where the units of each layer are counted; else that of as many random ones."""
    for rule, is_exact in (
        (channels(fraction=None, rounds=None, scope="layer", keep={"inner*": 0.5}), True),
        (channels(rounds=2, scope="layer"), True),
        (channels(rounds=1, fraction=0.5), False),
        (Prune(fraction=0.5, rounds=1, scope="layer"), False),
    ):
        study = lab.study({**CHANGES, "prune": rule}, branches=[Scratch("flops"), Scratch("flops", at_most=epochs(3))])
        plan = priced(make_plan(study))
        pieces = [plan.pieces[one.segment.key] for one in plan.branches]
        assert all(piece.expected.is_exact == is_exact for piece in pieces)
        assert all(piece.num_steps <= 3 * EPOCH for piece in pieces if piece.segment.stretch.at_most is not None)
        planned = make_plan(study)
        more = sum(piece.num_steps - 2 * EPOCH for piece in pieces)
        assert plan.unique_steps - planned.unique_steps == plan.naive_steps - planned.naive_steps == more > 0
        assert plan.remaining_steps - planned.remaining_steps == more
        if is_exact:
            ran = lab.run(study, rule.scope + str(rule.keep))
            ends = [ran.store.segment(one.segment.key)["last"] for one in ran.plan.branches]
            assert [piece.num_steps for piece in pieces] == ends
            assert not priced(make_plan(study, None, ran.store)).jobs


def test_norms_behind_additions_and_concatenations() -> None:
    """A channel is counted no more by what reads it through a norm that has lost it, though others read it on."""
    for name, reads in (("cifar_preresnet29_4", "blocks.1.conv1"), ("cifar_densenet16_4", None)):
        recipe = Recipe(
            Model(name),
            Data("cifar10", batch_size=4, validation=0),
            Train(steps(2), lr=0.1),
            Identity("x", 8, 0, 8, (3, 32, 32), 10),
        )
        network = models.build(name, 10, seed=0)
        scales = models.scales(network, (torch.zeros(1, 3, 32, 32),))
        parameters = dict(network.named_parameters())
        generator = torch.Generator().manual_seed(1)
        kept = {one.name: torch.rand(parameters[one.name].shape, generator=generator) < 0.6 for one in scales}
        mask = pruning.with_members(kept, scales, parameters)
        before = {key: value.clone() for key, value in mask.items()}
        whole = whole_units(network, mask, recipe)
        assert all(torch.equal(mask[key], value) for key, value in before.items())
        by_norm = {  # {norm: the one layer that reads it, through ReLU}
            path: following
            for (path, layer), (following, reader) in zip(
                [one for one in network.named_modules() if isinstance(one[1], torch.nn.BatchNorm2d)],
                [one for one in network.named_modules() if isinstance(one[1], (torch.nn.Conv2d, torch.nn.Linear))
                 and "shortcut" not in one[0]][1:],
                strict=True,
            )
        }  # fmt: skip
        uses, total = uses_of_weights(network, (torch.zeros(1, 3, 32, 32),)), 0
        for weight, times in uses.items():
            keeps = mask.get(weight, torch.ones(parameters[weight].shape, dtype=torch.bool)).clone()
            for norm, reader in by_norm.items():
                if weight == f"{reader}.weight":
                    keeps[:, ~kept[f"{norm}.weight"]] = False
            total += 2 * times * int(keeps.sum())
        assert forward_flops(network, uses, whole) == total < forward_flops(network, uses, mask)
        if reads:
            assert not whole[f"{reads}.weight"][:, ~kept["blocks.1.norm1.weight"]].any()


def test_other_studies_start_from_where_it_ended(lab: Any) -> None:
    given = lab.study(CHANGES, name="given", branches=[Scratch("flops", rounds=[1])])
    ran = lab.run(given)
    ended = load_ticket(ran.plan.branches[0].segment.key, ran.store.uri)
    assert ended.record.last > 2 * EPOCH
    taken = lab.study(CHANGES, ticket=TicketOf(given, round=1, branch="scratch"))
    second = lab.run(taken)
    assert not second.failures
    first = load_ticket(second.key(0), ran.store.uri)
    assert all(torch.equal(first.rewind_state[name], value) for name, value in ended.trained_state.items())

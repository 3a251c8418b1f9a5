"""Dynamic sparse training as a pruning rule: tickets, records, costs, branches, kills, and what does not go with it."""

from typing import Any

import pytest
import torch

from lth_ray import pruning
from lth_ray.config import (
    Barrier,
    ConfigError,
    Dynamic,
    Perturb,
    Perturbation,
    RandomMask,
    RandomReinit,
    Rewind,
    epochs,
    steps,
)
from lth_ray.lottery import load_ticket, make_plan

RIGL = Dynamic("rigl", every=steps(5))
RULE = {
    "prune.criterion": "random",
    "prune.at": steps(0),
    "prune.fraction": 0.5,
    "prune.rounds": 1,
    "prune.dynamic": RIGL,
}


def masks(ran: Any, number: int = 1) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The first and the last mask of a round."""
    record = ran.store.segment(ran.key(number))
    return ran.store.load_mask(record["first_mask"]), ran.store.load_mask(record["mask"])


@pytest.mark.parametrize("method", ["rigl", "set"])
def test_a_ticket_has_the_mask_it_ended_with_and_the_record_how_it_came_about(lab: Any, method: str) -> None:
    ran = lab.run(lab.study({**RULE, "prune.dynamic": Dynamic(method, every=steps(5))}))
    assert not ran.failures
    assert ran.steps == ran.plan.unique_steps == 40
    first, last = masks(ran)
    record, ticket = ran.store.segment(ran.key(1)), load_ticket(ran.key(1), ran.store.uri)
    static = lab.run(lab.study({**RULE, "prune.dynamic": None}), "static")
    assert all(torch.equal(first[name], keeps) for name, keeps in static.store.load_mask(
        static.store.segment(static.key(1))["mask"]
    ).items())  # fmt: skip
    assert {name: int(keeps.sum()) for name, keeps in last.items()} == {n: int(k.sum()) for n, k in first.items()}
    assert ticket.trained_state is not None
    assert ticket.rewind_state is not None
    for name, keeps in last.items():
        assert torch.equal(ticket.mask[name], keeps)
        assert not ticket.trained_state[name][~keeps].any()
        assert not ticket.rewind_state[name][~keeps].any()
    history = record["mask_history"]
    assert sorted(set(history["step"])) == [0, 5, 10, 15, 20, 25]  # until step 30 of 40
    assert history["layer"][:3] == list(first)
    rule = pruning.Regrowth(method, 5, 0.3, 30, 1)
    rows = zip(history["step"], history["kept"], history["dropped"], strict=True)
    assert all(dropped == rule.count(kept, step) for step, kept, dropped in rows)
    left = sum(int((first[name] & last[name]).sum()) for name in first) / sum(
        int(keeps.sum()) for keeps in first.values()
    )
    assert record["mask_changed"] == pytest.approx(1 - left)
    assert record["mask_changed"] > 0.2
    assert ran.tickets[1]["remaining_weights"] == static.tickets[1]["remaining_weights"]
    assert record["backend"] == "eager-fp32"
    assert len(record["files"]) == 2


def test_gradients_of_all_weights_are_paid_for(lab: Any) -> None:
    """Six updates of RigL, each the backward pass of the pruned half of 60 images; SET asks for none."""
    rows = {
        method: lab.run(lab.study({**RULE, "prune.dynamic": Dynamic(method, every=steps(5))}), method).tickets
        for method in ("rigl", "set")
    }
    dense, sparse = (rows["rigl"][number]["inference_flops"] for number in (0, 1))
    assert rows["set"][1]["search_flops"] == 3 * sparse * 60 * 40
    assert rows["rigl"][1]["search_flops"] == 3 * sparse * 60 * 40 + 6 * 60 * (dense - sparse)


@pytest.mark.parametrize("method", ["rigl", "set"])
@pytest.mark.parametrize("at", [6, 40])
def test_a_run_killed_at_any_step_goes_on_from_its_checkpoint(lab: Any, at: int, method: str) -> None:
    study = lab.study({**RULE, "prune.dynamic": Dynamic(method, every=steps(5))})
    before = lab.interrupted(study, at, every_s=0)
    ran = lab.run(study, every_s=0)
    assert before + ran.steps == 40 + 1
    whole = lab.whole(study)
    assert ran.contents == whole.contents
    ours, theirs = (one.store.segment(one.key(1)) for one in (ran, whole))
    assert [ours[name] for name in ("mask_history", "first_mask", "journal")] == [
        theirs[name] for name in ("mask_history", "first_mask", "journal")
    ]


def test_each_round_of_one_shot_has_a_mask_of_its_own_density(lab: Any) -> None:
    ran = lab.run(lab.study({**RULE, "prune.rounds": 2, "prune.one_shot": True}))
    assert ran.steps == 2 * 40
    assert [row["remaining_weights"] for row in ran.tickets] == [1, pytest.approx(0.5), pytest.approx(0.25, abs=1e-3)]


def test_what_hangs_on_a_ticket_takes_over_the_mask_it_ended_with(lab: Any) -> None:
    branches = [
        RandomReinit(),
        RandomMask(),
        Barrier(children=2, spawn=steps(10), rounds=[1]),
        Perturb("rewound", noise=0.5),
    ]
    ran = lab.run(lab.study({**RULE, "train.length": steps(20)}, branches=branches))
    assert not ran.failures
    _, last = masks(ran)
    content = ran.store.segment(ran.key(1))["mask"]
    by_name = {row["branch"]: ran.store.segment(row["key"]) or ran.store.table(row["key"]) for row in ran.branches}
    for result in ran.plan.branches:
        for _, segment in result.trainings:
            assert segment.regrowth is None
            record = ran.store.segment(segment.key)
            if result.path != "random_mask":
                assert record["mask"] == content
    drawn = ran.store.load_mask(by_name["random_mask"]["mask"])
    assert {name: int(keeps.sum()) for name, keeps in drawn.items()} == {n: int(k.sum()) for n, k in last.items()}


def test_states_that_were_not_kept_are_made_again_under_the_first_mask(lab: Any) -> None:
    """A copy that parts at step 10 starts from what the ticket was there."""
    study = lab.study({**RULE, "train.length": steps(20)})
    lab.run(study)
    ran = lab.run(
        lab.study({**RULE, "train.length": steps(20)}, branches=[Barrier(children=2, spawn=steps(10), rounds=[1])])
    )
    whole = lab.run(
        lab.study({**RULE, "train.length": steps(20)}, branches=[Barrier(children=2, spawn=steps(10), rounds=[1])]), "w"
    )
    assert ran.contents == whole.contents


REFUSED = {
    "fine_tune": ({}, {"rewind": [Rewind(steps(0), method="fine_tune")]}, "Rewind.method = 'fine_tune'"),
    "continue": ({}, {"rewind": [Rewind(steps(0), method="continue")]}, "Rewind.method = 'continue'"),
    "frozen": (
        {},
        {"rewind": [Rewind(steps(0), perturbation=Perturbation("rewound", pruned="init"))]},
        "Perturbation.pruned = 'init'",
    ),
    "replicates": ({"train.replicates": 2}, {}, r"a mask that changes \(Prune.dynamic\) cannot be trained"),
    "perturbed": ({}, {"branches": [Perturb("grown")]}, r"one that has changed in training \(Prune.dynamic\) has none"),
    "every": ({"prune.dynamic": Dynamic("rigl", every=steps(1))}, {}, None),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_go_together_is_refused_by_plan(lab: Any, name: str) -> None:
    changes, fields, message = REFUSED[name]
    study = lab.study({**RULE, **changes}, **fields)
    if message is None:
        assert make_plan(study).unique_steps == 40
        return
    with pytest.raises(ConfigError, match=message):
        make_plan(study)


def test_what_no_update_is_made_of_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Dynamic.every = epochs\(0.01\): no step at all"):
        Dynamic("rigl", every=epochs(0.01)).in_steps(20, 40)
    with pytest.raises(ConfigError, match=r"Dynamic\.method = 'rigle'"):
        Dynamic("rigle")
    with pytest.raises(ConfigError, match=r"Dynamic\.fraction = 1"):
        Dynamic("set", fraction=1)

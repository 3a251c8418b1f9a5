"""Early-bird tickets: where they are drawn, what that costs, how they go on, and that kills change nothing."""

from typing import Any

import pytest
import torch

from lth_ray import pruning
from lth_ray.config import (
    Barrier,
    ConfigError,
    EarlyBird,
    Model,
    Perturb,
    Prune,
    RandomReinit,
    Rewind,
    Stability,
    Study,
    Transfer,
    Weights,
    epochs,
    steps,
)
from lth_ray.lottery import load_ticket, make_plan
from tests.lottery.test_channels import Small

EPOCH = 19  # 1,197 - 60 x 19 images are dropped
BIRD = EarlyBird(window=3, distance=0.12)


def study_of(lab: Any, changes: dict[str, Any] | None = None, at: EarlyBird = BIRD, **fields: Any) -> Study:
    given = {"prune": Prune("magnitude", fraction=0.4, rounds=1, at=at), "train.length": epochs(8)}
    study: Study = lab.study(
        {**given, "train.lr": 4e-3, "train.evaluate_every": steps(10), **(changes or {})}, **fields
    )
    return study


def search_of(ran: Any, lineage: int = 0) -> dict[str, Any]:
    record: dict[str, Any] = ran.store.segment(ran.plan.lineages[lineage].dense.key)
    return record


def test_the_draw_is_that_of_the_dense_networks_own_epochs(lab: Any) -> None:
    """By masks of the states of a whole dense training; the search ends there, and the ticket has the mask of there."""
    ran = lab.run(study_of(lab))
    assert not ran.failures
    every = lab.run(
        study_of(
            lab, {"prune": Prune("magnitude", fraction=0.4, rounds=0), "train.evaluate_every": steps(EPOCH)}, keep="all"
        ),
        "every",
    )
    found = [
        every.store.load_state(every.plan.lineages[0].dense.trajectory, step).model
        for step in range(0, 8 * EPOCH + 1, EPOCH)
    ]
    masks = []
    for state in found:
        weights = {name: value for name, value in state.items() if name.endswith("weight")}
        ones = {name: torch.ones_like(value, dtype=torch.bool) for name, value in weights.items()}
        masks.append(pruning.prune({name: value.abs() for name, value in weights.items()}, ones, 0.4))
    size = sum(keeps.numel() for keeps in masks[0].values())
    distances = [
        [sum(int((one[n] != other[n]).sum()) for n in one) / size for other in masks[:number]]
        for number, one in enumerate(masks)
    ]
    at = pruning.first_agreement(distances, 3, 0.12)
    assert at is not None
    assert 2 < at < 8  # neither at once nor never
    record = search_of(ran)
    assert record["drawn"] == {"step": at * EPOCH, "agreed": True}
    assert record["last"] == record["train_steps"] == at * EPOCH
    (looks,) = record["looks"].values()
    assert looks["step"] == [epoch * EPOCH for epoch in range(at + 1)]
    assert looks["distances"] == distances[: at + 1]
    ticket = load_ticket(ran.key(1), ran.store.uri)
    assert all(torch.equal(ticket.mask[name], keeps) for name, keeps in masks[at].items())
    assert ticket.rewind_state is not None
    for name, value in found[at].items():
        assert torch.equal(ticket.rewind_state[name], value.masked_fill(~masks[at].get(name, value == value), 0.0))
    assert ticket.provenance["first"] == at * EPOCH
    assert ran.steps == 8 * EPOCH  # up to the draw, and from there to the end
    assert ran.plan.unique_steps == 8 * EPOCH + 6 * EPOCH  # at most
    dense, row = ran.tickets
    assert (dense["drawn_step"], dense["drawn_agreed"]) == (at * EPOCH, True)
    assert dense["test_accuracy"] is not None
    assert row["search_epochs"] == 8 - at
    assert row["retrain_epochs"] == 8 - at
    forward = dense["inference_flops"]
    assert row["ticket_flops"] == 3 * 60 * EPOCH * (at * forward + (8 - at) * row["inference_flops"])


def test_it_rewinds_where_it_is_told_to(lab: Any) -> None:
    ran = lab.run(study_of(lab, at=EarlyBird(window=3, distance=0.12, then="rewind")))
    on = lab.run(study_of(lab), "on")
    drawn = search_of(ran)["drawn"]["step"]
    assert search_of(ran)["key"] == search_of(on)["key"]  # one draw, whatever becomes of it
    assert ran.steps == drawn + 8 * EPOCH
    ours, theirs = (load_ticket(one.key(1), one.store.uri) for one in (ran, on))
    assert all(torch.equal(ours.mask[name], keeps) for name, keeps in theirs.mask.items())
    assert ours.provenance["first"] == 0
    dense, row = ran.tickets
    assert row["search_epochs"] == 8
    spent = drawn * dense["inference_flops"] + 8 * EPOCH * row["inference_flops"]
    assert row["ticket_flops"] == 3 * 60 * spent


def test_scales_of_channels_are_drawn_from(lab: Any) -> None:
    changes = {"model": Model(Small), "train.scale_l1": 1e-2}
    rule = Prune("bn_scale", fraction=0.5, rounds=1, at=EarlyBird(window=3, distance=0.2))
    ran = lab.run(study_of(lab, {**changes, "prune": rule}))
    assert not ran.failures
    record = search_of(ran)
    (looks,) = record["looks"].values()
    assert all(0 <= one <= 1 for row in looks["distances"] for one in row)
    first = ran.store.load_mask(looks["mask"][0])
    assert {name: keeps.shape for name, keeps in first.items()} == {"norm1.weight": (6,), "norm2.weight": (8,)}
    last = ran.store.load_mask(looks["mask"][-1])
    ticket = load_ticket(ran.key(1), ran.store.uri)
    assert all(torch.equal(ticket.mask[name], keeps) for name, keeps in last.items())
    assert torch.equal(ticket.mask["conv2.weight"].flatten(1).all(1), last["norm2.weight"])


def test_a_mask_that_never_settles_is_drawn_at_the_latest_and_says_so(lab: Any) -> None:
    ran = lab.run(study_of(lab, at=EarlyBird(window=3, distance=0.0, latest=steps(70))))
    assert not ran.failures
    assert search_of(ran)["drawn"] == {"step": 70, "agreed": False}
    assert [row["train_steps"] for row in ran.tickets] == [70, 8 * EPOCH - 70]
    assert not ran.tickets[0]["drawn_agreed"]


DENSE = {"dense": {"prune": Prune("magnitude", fraction=0.4, rounds=0)}}
SHARES = {f"p{share}": {"prune.fraction": share} for share in (0.2, 0.4, 0.6)}


def test_several_draws_and_the_whole_dense_network_are_one_training(lab: Any) -> None:
    study = study_of(lab, arms={**SHARES, **DENSE})
    ran = lab.run(study)
    assert not ran.failures
    steps_of = [search_of(ran, number)["drawn"]["step"] for number in range(3)]
    assert len(set(steps_of)) > 1
    assert ran.steps == 8 * EPOCH + sum(8 * EPOCH - step for step in steps_of)  # dense once, and the tickets
    for number, arm in enumerate(SHARES):
        alone = lab.run(study_of(lab, {"prune.fraction": SHARES[arm]["prune.fraction"]}), arm)
        for name in ("content", "journal", "drawn", "train_steps"):
            assert search_of(ran, number)[name] == search_of(alone)[name]
        assert ran.store.segment(ran.key(1, number))["content"] == alone.store.segment(alone.key(1))["content"]
    dense = lab.run(study_of(lab, {"prune": Prune("magnitude", fraction=0.4, rounds=0)}), "dense")
    record = search_of(ran, 3)
    for name in ("content", "journal", "train_steps"):
        assert record[name] == search_of(dense)[name]
    assert [len(seen["step"]) for seen in record["looks"].values()] == [9, 9, 9]  # looked at to the end


def test_the_dense_network_may_be_trained_on_to_be_compared_with(lab: Any) -> None:
    ran = lab.run(study_of(lab, {"prune.whole_dense": True}))
    alone = lab.run(study_of(lab), "alone")
    drawn = alone.tickets[0]["drawn_step"]
    assert ran.steps == 8 * EPOCH + (8 * EPOCH - drawn)
    assert ran.tickets[0]["train_steps"] == 8 * EPOCH
    assert ran.tickets[1]["content"] == alone.tickets[1]["content"]
    assert ran.tickets[1]["ticket_flops"] == alone.tickets[1]["ticket_flops"]
    assert ran.tickets[1]["drawn_step"] == drawn


@pytest.mark.parametrize("at", [40, 120])
def test_a_run_killed_at_any_step_goes_on_from_its_checkpoint(lab: Any, at: int) -> None:
    study = study_of(lab, arms={"p0.4": {}, **DENSE})
    whole = lab.whole(study)
    before = lab.interrupted(study, at, every_s=0)
    ran = lab.run(study, every_s=0)
    assert before + ran.steps == whole.steps + 1
    assert ran.contents == whole.contents
    assert search_of(ran)["looks"] == search_of(whole)["looks"]
    assert search_of(ran)["journal"] == search_of(whole)["journal"]
    again = lab.run(study)
    assert not again.plan.jobs
    drawn = search_of(whole)["last"]
    assert again.plan.unique_steps == whole.steps + drawn  # which two have in common
    assert again.steps == 0


def test_a_later_arm_takes_up_what_a_draw_has_left(lab: Any) -> None:
    first = lab.run(study_of(lab))
    drawn = search_of(first)["drawn"]["step"]
    ran = lab.run(study_of(lab, arms={"p0.4": {}, **DENSE}))
    assert ran.steps == 8 * EPOCH - drawn
    assert ran.plan.unique_steps < 3 * 8 * EPOCH


def test_branches_hang_on_it(lab: Any) -> None:
    ran = lab.run(study_of(lab, branches=[RandomReinit(), Barrier(children=2, rounds=[1])]))
    assert not ran.failures
    assert len(ran.branches) == 2
    copies = [s for b in ran.plan.branches if b.table for _, s in b.trainings]
    assert {ran.store.segment(copy.key)["first"] for copy in copies} == {search_of(ran)["drawn"]["step"]}


def test_a_lost_state_is_made_again(lab: Any) -> None:
    ran = lab.run(study_of(lab))
    record = search_of(ran)
    ran.store.delete_state(record["trajectory"], record["drawn"]["step"])
    more = lab.run(study_of(lab, branches=[Barrier(children=2, rounds=[1])]))
    assert not more.failures
    assert more.steps == record["drawn"]["step"] + 2 * (8 * EPOCH - record["drawn"]["step"])


def test_copies_part_at_the_draw_or_later_and_say_where(lab: Any) -> None:
    bird = EarlyBird(window=3, distance=0.0, latest=steps(60))
    branches = [Barrier(points=3, rounds=[1]), Barrier(points=3, rounds=[1], spawn=steps(100))]
    ran = lab.run(study_of(lab, at=bird, branches=branches))
    assert not ran.failures
    assert [row["spawn_step"] for row in ran.branches] == [60, 100]
    copies = [[ran.store.segment(s.key) for _, s in b.trainings] for b in ran.plan.branches if b.table]
    assert [{record["first"] for record in pair} for pair in copies] == [{60}, {100}]


def test_what_measures_the_search_finds_it_where_it_ended(lab: Any) -> None:
    """Also where the dense network goes on, or ends at a step that is given."""
    branches = [Weights(), Stability(rounds=[1]), Transfer({"train_images": 600}, start="trained")]
    ran = lab.run(study_of(lab, branches=branches))
    assert not ran.failures
    drawn = ran.tickets[0]["drawn_step"]
    whole = lab.run(study_of(lab, {"prune.whole_dense": True}, branches=branches), "whole")
    given = {"prune": Prune("magnitude", fraction=0.4, rounds=1, at=steps(drawn), whole_dense=True)}
    stated = lab.run(study_of(lab, given, branches=branches), "stated")
    moved = [
        [one.branches[0][name] for name in ("moved_kept", "moved_pruned", "moved_from_zero")]
        for one in (ran, whole, stated)
    ]
    assert moved[0] == moved[1] == moved[2]
    ours, theirs = ([row for row in one.branches if row["branch"] == "stability"] for one in (ran, whole))
    assert [row["spawn_step"] for row in (*ours, *theirs)] == [drawn] * 4
    assert ours[0]["l2_distance"] != theirs[0]["l2_distance"]  # from where the dense network ended: the draw, or T
    assert ours[1]["l2_distance"] == theirs[1]["l2_distance"]


def test_weights_of_before_the_draw_are_trained_from_their_own_step(lab: Any) -> None:
    ran = lab.run(study_of(lab, branches=[Perturb("rewound", at=steps(EPOCH))]))
    assert [row["train_steps"] for row in ran.branches] == [7 * EPOCH]
    late = study_of(lab, {"prune.whole_dense": True}, branches=[Perturb("rewound", at=steps(7 * EPOCH))])
    assert [row["train_steps"] for row in lab.run(late, "late").branches] == [EPOCH]


REFUSED = {
    "rounds": ({"prune.rounds": 2}, {}, "Prune.rounds = 2: a draw gives one ticket"),
    "criterion": ({"prune.criterion": "snip"}, {}, "Prune.criterion = 'snip': it looks at more"),
    "method": ({}, {"rewind": [Rewind(steps(0), method="fine_tune")]}, "Rewind.method = 'fine_tune': EarlyBird.then"),
    "rewind": ({}, {"rewind": [steps(50)]}, r"Study.rewind = steps\(50\): step 50 may lie beyond the draw"),
    "latest": ({"train.length": epochs(1)}, {}, "step 19 lies before the earliest draw, step 38"),
    "norm": ({"prune.criterion": "bn_scale"}, {}, "'bn_scale': the network has no batch norm"),
    "perturbed": ({}, {"branches": [Perturb("grown")]}, "an early-bird draw's are known when it has taken place"),
    "spawned": ({}, {"branches": [Barrier(rounds=[1], spawn=steps(50))]}, "step 50 may lie before the draw"),
    "copies": ({}, {"branches": [Barrier()]}, r"round 0 ends where its mask is drawn .* give Barrier\(rounds=\[1\]\)"),
    "distances": ({}, {"branches": [Stability()]}, r"round 0 ends where .* give Stability\(rounds=\[1\]\)"),
    "late weights": ({}, {"branches": [Perturb("rewound", at=steps(50))]}, "step 50 may lie beyond the draw"),
    "replicates": ({"train.replicates": 2}, {}, "a training that a draw ends"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_go_together_is_refused_by_plan(lab: Any, name: str) -> None:
    changes, fields, message = REFUSED[name]
    with pytest.raises(ConfigError, match=message):
        make_plan(study_of(lab, changes, **fields))


def test_its_fields_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"EarlyBird.window = 1"):
        EarlyBird(window=1)
    with pytest.raises(ConfigError, match=r"EarlyBird.then = 'go'"):
        EarlyBird(then="go")

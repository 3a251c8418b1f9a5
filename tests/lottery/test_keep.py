"""States that are kept under keep="rewind", "tickets" and "all"; and what growing costs under each."""

from typing import Any

import pytest

from lth_ray.config import RandomMask, RandomReinit, Rewind, steps

POINTS = [steps(0), steps(10)]


def states(ran: Any) -> dict[str, set[int]]:
    """{name of a segment: steps at which its states are in the store}"""
    names = {ran.plan.lineages[0].dense.trajectory: "dense"}
    for lineage in ran.plan.lineages:
        for r in lineage.rounds[1:]:
            names.setdefault(r.segment.trajectory, f"{lineage.id}/{r.number}")
    names |= {b.segment.trajectory: b.path for b in ran.plan.branches}
    found: dict[str, set[int]] = {}
    for path in ran.store.list("states"):
        _, trajectory, file = path.split("/")
        found.setdefault(names[trajectory], set()).add(int(file[:12]))
    return found


def test_which_states_are_in_the_store(lab: Any) -> None:
    def kept(keep: str) -> dict[str, set[int]]:
        branches = [RandomReinit(rounds=[1]), RandomMask(rounds=[2])]
        return states(lab.run(lab.study(rewind=POINTS, seeds=[0], branches=branches, keep=keep), keep))

    tickets = {f"k{k}/seed0/{number}": {40} for k in (0, 10) for number in (1, 2)}
    dense = {"dense": {0, 10, 40}}
    assert kept("rewind") == dense | {"random_reinit": {0, 10}}  # newly drawn at each rewind point
    assert kept("tickets") == dense | tickets | {"random_reinit": {0, 10, 40}, "random_mask": {40}}
    everything = {0: {10, 20, 30, 40}, 10: {20, 30, 40}}
    assert kept("all") == {"dense": {0, 10, 20, 30, 40}, "random_reinit": {0, 10, 20, 30, 40}} | {
        f"k{k}/seed0/{number}": everything[k] for k in (0, 10) for number in (1, 2)
    } | {"random_mask": everything[0]}


METHODS = {"weights": (30, {0, 10, 40}), "learning_rate": (2 * 30, {0, 40})}


@pytest.mark.parametrize(("method", "again", "kept"), [(name, *values) for name, values in METHODS.items()])
def test_a_round_added_under_keep_rewind_also_costs_what_was_not_kept(
    lab: Any, method: str, again: int, kept: set[int]
) -> None:
    """The last round's trained state was not kept: it is planned again, with all that it is made from."""
    point = Rewind(steps(10), method=method)
    lab.run(lab.study(rewind=[point], keep="rewind"))
    longer = lab.study({"prune.rounds": 3}, rewind=[point], keep="rewind")
    ran = lab.run(longer)
    assert ran.steps == ran.plan.remaining_steps == 30 + again
    assert not ran.failures
    whole = lab.whole(longer)
    assert ran.contents == whole.contents
    assert states(ran) == states(whole) == {"dense": kept}
    assert lab.run(longer).steps == 0


@pytest.mark.parametrize("method", ["weights", "learning_rate", "fine_tune", "continue"])
def test_branches_find_what_they_start_from_under_keep_rewind(lab: Any, method: str) -> None:
    study = lab.study(rewind=[Rewind(steps(10), method=method)], keep="rewind", branches=[RandomMask(copies=2)])
    ran = lab.run(study)
    assert not ran.failures
    assert ran.steps == ran.plan.unique_steps
    assert len(ran.branches) == 4
    assert lab.run(study).steps == 0


def test_lineages_that_share_their_masks_find_them_under_keep_rewind(lab: Any) -> None:
    points = [Rewind(steps(10), method=method) for method in ("learning_rate", "continue")]
    ran = lab.run(lab.study({"prune.rounds": 3}, rewind=points, keep="rewind"))
    assert not ran.failures
    assert states(ran) == {"dense": {0, 10, 40}}


def test_a_study_that_keeps_less_deletes_nothing_of_one_that_keeps_more(lab: Any) -> None:
    kept = states(lab.run(lab.study(name="more")))
    longer = lab.run(lab.study({"prune.rounds": 3}, name="less", keep="rewind"))
    assert longer.steps == 40
    assert kept.items() <= states(longer).items()


def test_keeping_more_later_makes_what_was_not_kept(lab: Any) -> None:
    lab.run(lab.study(keep="rewind"))
    ran = lab.run(lab.study(keep="tickets"))
    assert ran.steps == ran.plan.remaining_steps == 2 * 40
    assert states(ran) == states(lab.whole(lab.study(keep="tickets")))
    more = lab.run(lab.study(keep="all"))
    # each ticket once more from its start to step 30, the dense run from step 0
    assert more.steps == more.plan.remaining_steps == 3 * 30
    assert states(more) == states(lab.run(lab.study(keep="all"), "all"))

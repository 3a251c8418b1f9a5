"""Nothing is trained twice, and what a study is grown by costs only itself."""

from typing import Any

import pytest

from lth_ray.config import Branch, RandomMask, RandomReinit, Rewind, steps
from lth_ray.lottery import make_plan

POINTS = [steps(0), steps(10), steps(20)]


def test_the_dense_run_is_shared_and_every_step_is_as_planned(lab: Any) -> None:
    study = lab.study(rewind=POINTS, seeds=[0, 1], branches=[RandomReinit(copies=2, rounds=[2]), RandomMask()])
    ran = lab.run(study)
    rounds, branches = sum(2 * (40 - k) for k in (0, 10, 20)), sum(4 * (40 - k) for k in (0, 10, 20))
    assert ran.plan.unique_steps == ran.steps == 2 * (40 + rounds + branches)
    assert ran.plan.naive_steps == 2 * (3 * 40 + rounds + branches)
    assert ran.plan.branch_steps == 2 * branches
    assert ran.plan.remaining_steps == ran.steps
    assert len(ran.tickets) == 2 * 3 * 3
    assert len(ran.branches) == 2 * 3 * (2 + 2)
    round_0 = {row["content"] for row in ran.tickets if row["round"] == 0}
    assert len(round_0) == 2
    again = lab.run(study)
    assert (again.steps, again.plan.jobs, again.contents) == (0, (), ran.contents)


NAMED: dict[str, tuple[dict[str, Any], set[str]]] = {
    "seeds": ({"rewind": POINTS, "seeds": [0, 1]}, {"dense/seed0", "dense/seed1"}),
    "a sweep": ({"sweep": {"train.lr": [0.1, 0.2]}}, {"dense/lr=0.1/seed0", "dense/lr=0.2/seed0"}),
    "arms that share": ({"arms": {"a": {}, "b": {"prune.one_shot": True}}}, {"dense/seed0"}),
    "one arm apart": (
        {"arms": {"a": {}, "b": {"prune.one_shot": True}, "c": {"train.lr": 0.3}}}, {"dense/seed0", "dense/c/seed0"}
    ),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "expected"), NAMED.values(), ids=NAMED)
def test_dense_runs_are_named_by_what_tells_them_apart(lab: Any, changes: dict[str, Any], expected: set[str]) -> None:
    jobs = make_plan(lab.study(changes)).jobs
    assert {job.id for job in jobs if job.kind == "dense"} == expected


GROWN: dict[str, tuple[dict[str, Any], dict[str, Any], int]] = {
    "seeds": ({}, {"seeds": [0, 1]}, 120),
    "rounds": ({}, {"prune.rounds": 4}, 80),
    "a later rewind point": ({"rewind": [steps(10)]}, {"rewind": [steps(10), steps(25)]}, 2 * 15 + 15),
    "an earlier rewind point": ({"rewind": [steps(25)]}, {"rewind": [steps(10), steps(25)]}, 2 * 30 + 10),
    "points on both sides": ({"rewind": [steps(20)]}, {"rewind": [*POINTS, steps(30)]}, 2 * (40 + 30 + 10) + 10 + 10),
    "the end as a rewind point": ({}, {"rewind": [steps(0), steps(40)]}, 0),
    "branches": ({}, {"branches": [RandomReinit(), RandomMask(rounds=[1])]}, 3 * 40),
    "copies": ({"branches": [RandomReinit()]}, {"branches": [RandomReinit(copies=2)]}, 2 * 40),
    "nested branches": (
        {"branches": [RandomReinit()]}, {"branches": [RandomReinit(branches=[RandomMask(rounds=[2])])]}, 40,
    ),
    "arms": ({"arms": {"a": {}}}, {"arms": {"a": {}, "b": {"prune.one_shot": True}}}, 40),
    "a method": ({}, {"rewind": [steps(0), Rewind(steps(20), method="learning_rate")]}, 40),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after", "cost"), GROWN.values(), ids=GROWN)
def test_a_study_that_grows_costs_only_what_is_new(
    lab: Any, before: dict[str, Any], after: dict[str, Any], cost: int
) -> None:
    small = lab.run(lab.study(before))
    grown = lab.run(lab.study({**before, **after}))
    assert grown.steps == grown.plan.remaining_steps == cost
    assert not grown.failures
    declared_so = lab.whole(lab.study({**before, **after}))
    assert grown.contents == declared_so.contents
    assert small.contents.items() <= grown.contents.items()
    assert declared_so.plan.unique_steps == declared_so.steps
    assert lab.run(lab.study({**before, **after})).steps == 0


def test_a_later_point_is_trained_from_the_nearest_earlier_snapshot(lab: Any) -> None:
    lab.run(lab.study(rewind=[steps(0), steps(10), steps(20)]))
    ran = lab.run(lab.study(rewind=[steps(0), steps(10), steps(15), steps(20), steps(33)]))
    state = [job for job in ran.plan.jobs if job.kind == "state"]
    assert [(piece.begins, piece.segment.last) for job in state for piece in job.pieces] == [(10, 15), (20, 33)]
    assert ran.steps == ran.plan.remaining_steps == 5 + 13 + 2 * (25 + 7)


def test_studies_in_one_store_share(lab: Any) -> None:
    first = lab.run(lab.study(name="first"))
    second = lab.run(lab.study({"prune.fraction": 0.5}, name="second", branches=[RandomMask(rounds=[1])]))
    assert second.steps == 2 * 40 + 40
    assert second.contents["k0/seed0/0"] == first.contents["k0/seed0/0"]
    assert lab.run(lab.study(name="third")).steps == 0


def test_one_subseed_shared_by_all_seeds_shares_what_depends_on_nothing_else(lab: Any) -> None:
    subseeds = {f"subseeds.{name}": 7 for name in ("init", "order", "augmentation", "dropout")}
    assert lab.run(lab.study({**subseeds, "seeds": [0, 1, 2]})).steps == 3 * 40


def test_what_another_run_published_meanwhile_is_not_trained_again(lab: Any) -> None:
    """A plan made before that run kept fewer states: those alone are made."""
    from lth_ray import data
    from lth_ray.lottery import execute, make_plan

    plan = make_plan(lab.study(rewind=[steps(0), steps(15)]), None, lab.store())
    lab.run(lab.study())
    trained = {}
    for piece in (piece for job in plan.jobs for piece in job.pieces):
        outcome = execute(piece, lab.store(), data.load(piece.segment.recipe.data), "cpu")
        trained[piece.key] = outcome.trained_steps
        assert outcome.record is not None
    dense, at_15 = plan.lineages[0].dense.key, [r.segment.key for r in plan.lineages[1].rounds[1:]]
    assert {key: n for key, n in trained.items() if n} == {dense: 15} | dict.fromkeys(at_15, 25)
    lab.loop.take()
    lab.log.write_text("")
    study = lab.study(rewind=[steps(0), steps(15)])
    assert lab.run(study).contents == lab.whole(study).contents


def test_every_kind_of_branch_has_an_entry() -> None:
    from lth_ray.lottery.branches import BRANCHES

    assert set(BRANCHES) == {kind for kind in Branch.__subclasses__() if kind.__module__.startswith("lth_ray.")}

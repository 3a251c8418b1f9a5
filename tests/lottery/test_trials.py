"""Jobs whose networks are trained as one batch: each comes out as by itself, whatever is trained beside it."""

import importlib
from dataclasses import replace
from typing import Any

import pytest
import torch

from lth_ray import probes
from lth_ray.config import (
    Branch,
    ConfigError,
    Perturb,
    Perturbation,
    RandomMask,
    RandomReinit,
    Rewind,
    Supermask,
    steps,
)
from lth_ray.lottery import make_plan, make_trials
from lth_ray.training.together import lockstep
from lth_ray.training.together.replicates import stack

SHORT = {"train.length": steps(20), "train.evaluate_every": steps(5), "train.replicates": 4}
BRANCHES = [RandomReinit(copies=2, rounds=[1])]
DENSE, ROUND, COPY = 20, 20, 20
slow = pytest.mark.slow


def study_of(lab: Any, changes: dict[str, Any] | None = None, **fields: Any) -> Any:
    return lab.study({**SHORT, **(changes or {})}, **{"seeds": [0, 1, 2], "branches": BRANCHES, **fields})


def of_seed(ran: Any, seed: int) -> dict[str, Any]:
    """Contents and journals of one seed's tickets and branch results."""
    rows = [row for row in [*ran.tickets, *ran.branches] if row["seed"] == seed]
    return {row["key"]: (row["content"], ran.store.segment(row["key"])["journal"]) for row in rows}


def named(plan: Any) -> list[list[str]]:
    return [[job.id for job in trial] for trial in make_trials(plan.jobs)]


def test_what_is_put_together(lab: Any) -> None:
    plan = make_plan(study_of(lab))
    dense, lineages, copies, rest = named(plan)
    assert [name[-5:] for name in dense] == ["seed0", "seed1", "seed2"]
    assert lineages == ["k0/seed0", "k0/seed1", "k0/seed2"]
    assert (len(copies), len(rest)) == (4, 2)
    assert sorted(copies + rest) == sorted(job.id for job in plan.jobs if job.kind == "branch")
    assert [len(trial) for trial in make_trials(plan.jobs, pinned=lambda job: job.id)] == [1] * len(plan.jobs)


def test_without_replicates_every_job_is_by_itself_in_an_order_in_which_they_could_run(lab: Any) -> None:
    plan = make_plan(study_of(lab, {"train.replicates": 1}, rewind=[steps(0), steps(5)]))
    assert all(len(trial) == 1 for trial in make_trials(plan.jobs))
    assert sorted(name for (name,) in named(plan)) == sorted(job.id for job in plan.jobs)


NESTED: list[Branch] = [RandomReinit(copies=2, branches=[RandomMask(copies=2, branches=[RandomReinit()])])]
STUDIES: dict[str, dict[str, Any]] = {
    "branches of branches": {"branches": NESTED},
    "rewind points": {"rewind": [steps(0), steps(5), Rewind(steps(5), method="continue")]},
    "arms that share rounds": {"arms": {"a": {}, "b": {"prune.one_shot": True}, "c": {"train.lr": 0.1}}},
    "what makes a mask of it": {"branches": [RandomMask(copies=3)]},
}


@pytest.mark.parametrize("fields", STUDIES.values(), ids=STUDIES)
@pytest.mark.parametrize("count", [2, 3, 64])
def test_trials_have_one_shape_and_wait_for_none_behind_them(lab: Any, fields: dict[str, Any], count: int) -> None:
    plan = make_plan(study_of(lab, {"train.replicates": count}, **fields))
    done: set[str] = set()
    for trial in make_trials(plan.jobs):
        assert len(trial) <= count
        assert all(job.needs <= done for job in trial)
        pieces = [piece for job in trial for piece in job.pieces]
        assert len({(repr(piece.recipe), piece.segment.first, piece.segment.last) for piece in pieces}) == 1
        done |= {piece.key for piece in pieces}
    assert done == plan.keys
    assert len(make_trials(plan.jobs)) < 0.8 * len(plan.jobs)


def test_each_is_its_single_run(lab: Any) -> None:
    """Bit for bit, as a CPU takes their steps in turn."""
    together, alone = lab.run(study_of(lab)), lab.run(study_of(lab, {"train.replicates": 1, "train.backend": "eager"}))
    assert together.steps == alone.steps == together.plan.unique_steps == 3 * (DENSE + 2 * ROUND + 2 * COPY)
    for ours, single in ((together.tickets, alone.tickets), (together.branches, alone.branches)):
        assert [[*row] for row in ours] == [[*row] for row in single]
        assert {row["backend"] for row in ours} == {"replicated-fp32"}
        for row, other in zip(ours, single, strict=True):
            assert (row["lineage"], row["round"], row["train_steps"]) == (
                other["lineage"], other["round"], other["train_steps"],
            )  # fmt: skip
            assert row["key"] != other["key"]
            assert row["content"] == other["content"]
            records = together.store.segment(row["key"]), alone.store.segment(other["key"])
            assert records[0]["mask"] == records[1]["mask"]
            assert records[0]["journal"] == records[1]["journal"]
    assert not lab.run(study_of(lab)).plan.jobs


def test_stacked_as_on_a_gpu_each_is_near_its_single_run(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounding flips no weight's rank in so few steps here, so that masks are equal."""
    alone = lab.whole(study_of(lab))
    monkeypatch.setattr(lockstep, "replicate", stack)
    stacked = lab.run(study_of(lab))
    assert stacked.steps == alone.steps
    assert stacked.contents.keys() == alone.contents.keys()
    assert stacked.contents != alone.contents
    for row in [*stacked.tickets, *stacked.branches]:
        ours, single = (ran.store.segment(row["key"]) for ran in (stacked, alone))
        assert ours["mask"] == single["mask"]
        assert ours["journal"]["test_loss"] == pytest.approx(single["journal"]["test_loss"], rel=1e-3)


FELLOWS: dict[str, dict[str, Any]] = {
    "none": {"seeds": [2]},
    "other places": {"seeds": [2, 1, 0]},
    "more than a batch": {"seeds": [5, 4, 3, 1, 0, 2]},
    "other masks": {"branches": [RandomMask(copies=3), *BRANCHES]},
}


@pytest.mark.parametrize("fields", FELLOWS.values(), ids=FELLOWS)
@pytest.mark.parametrize("model", ["lenet_37_11", pytest.param("conv2_3", marks=slow)])
def test_a_content_does_not_depend_on_what_else_there_is(lab: Any, fields: dict[str, Any], model: str) -> None:
    study = study_of(lab, {"model.name": model})
    whole = of_seed(lab.whole(study), 2)
    assert len(whole) == 3 + 2
    found = of_seed(lab.run(replace(study, **fields)), 2)
    assert {key: found[key] for key in whole} == whole


def test_it_depends_on_their_number_and_the_key_says_so(lab: Any) -> None:
    by_four, by_two = make_plan(study_of(lab)), make_plan(study_of(lab, {"train.replicates": 2}))
    assert not by_four.keys & by_two.keys


@pytest.mark.parametrize("at", [1, 61, pytest.param(93, marks=slow), 180, pytest.param(300, marks=slow)])
def test_killed_at_a_step_each_goes_on_from_its_own_checkpoint(lab: Any, at: int) -> None:
    study = study_of(lab)
    before = lab.interrupted(study, at, every_s=0)
    ran = lab.run(study, every_s=0)
    assert before == at
    # a checkpoint at every step; of the one that they were killed in some had been counted
    assert before + ran.steps <= 3 * (DENSE + 2 * ROUND + 2 * COPY) + 4
    assert ran.contents == lab.whole(study).contents
    assert not ran.failures
    assert not list(ran.store.list("checkpoints"))


def killed(lab: Any, monkeypatch: pytest.MonkeyPatch, study: Any, point: str, passing: int) -> int:
    """Runs `study` up to the passing-th time that it comes by `point`; the steps that it had taken."""
    passed: list[str] = []

    def at(name: str) -> None:
        passed.extend([name] * (name == point))
        if name == point and len(passed) >= passing:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(probes, "point", at)
        with pytest.raises(KeyboardInterrupt):
            lab.run(study, every_s=0)
    lab.log.write_text("")
    return int(lab.loop.take())


@pytest.mark.parametrize("passing", [1, 2, *(pytest.param(n, marks=slow) for n in (3, 11)), 62])
@pytest.mark.parametrize("point", ["checkpointed", "mid-write"])
def test_killed_between_the_checkpoints_of_one_step(
    lab: Any, monkeypatch: pytest.MonkeyPatch, point: str, passing: int
) -> None:
    study = study_of(lab)
    before = killed(lab, monkeypatch, study, point, passing)
    ran = lab.run(study, every_s=0)
    # two steps of four at most: training goes on while the checkpoints of the step before are written
    assert before + ran.steps <= 3 * (DENSE + 2 * ROUND + 2 * COPY) + 8
    assert ran.contents == lab.whole(study).contents
    whole = of_seed(lab.whole(study), 1)
    assert of_seed(ran, 1) == whole
    assert not ran.failures


@pytest.mark.parametrize("passing", [1, *(pytest.param(n, marks=slow) for n in (2, 3, 4)), 5, 11])
def test_killed_between_the_records_of_one_round(lab: Any, monkeypatch: pytest.MonkeyPatch, passing: int) -> None:
    study = study_of(lab)
    before = killed(lab, monkeypatch, study, "published", passing)
    ran = lab.run(study, every_s=0)
    assert before + ran.steps <= 3 * (DENSE + 2 * ROUND + 2 * COPY) + 4
    assert ran.contents == lab.whole(study).contents
    assert not ran.failures


def test_one_that_is_further_on_goes_with_the_others(lab: Any) -> None:
    lab.run(study_of(lab, seeds=[1]))
    lab.run(study_of(lab, {"prune.rounds": 1}, seeds=[0]))
    ran = lab.run(study_of(lab))
    assert ran.contents == lab.whole(study_of(lab)).contents
    assert ran.steps == (DENSE + 2 * ROUND + 2 * COPY) + ROUND


def test_states_that_were_not_kept_are_made_again_with_the_same_bits(lab: Any) -> None:
    first, later = study_of(lab, keep="rewind"), study_of(lab, rewind=[steps(0), steps(7)])
    lab.run(first)
    again = [[job.kind for job in trial] for trial in make_trials(make_plan(later, None, lab.store()).jobs)]
    assert ["state"] * 3 in again
    ran = lab.run(later)
    assert not make_plan(later, None, lab.store()).jobs
    assert ran.contents == lab.whole(later).contents


def drawing(num_classes: int) -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, num_classes), torch.nn.Dropout(0.1))


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "an average": ({"train.ema_decay": 0.9}, {}, r"Train\.ema_decay = 0\.9: .*Train\.replicates = 1"),
    "an optimizer": ({"train.optimizer": "rmsprop"}, {}, r"Train\.optimizer = 'rmsprop': .*Train\.replicates = 1"),
    "eager": ({"train.backend": "eager"}, {}, r"Train\.replicates = 4: .* leave one of them out"),
    "dropout": (
        {"model.name": "conv2_2", "model.options": {"dropout": 0.5}}, {}, r"Model\.options\['dropout'\] = 0\.5"
    ),
    "a network that draws": ({"model.name": drawing}, {}, r"Model\.name = .*drawing.*Train\.replicates = 1"),
    "a learned mask": ({}, {"branches": [Supermask("bernoulli")]}, r"Train\.replicates = 4: a Supermask"),
    "frozen weights": ({}, {"branches": [Perturb(pruned="init")]}, r"Train\.replicates = 4: pruned weights frozen"),
    "frozen rounds": (
        {}, {"rewind": [Rewind(steps(0), perturbation=Perturbation(pruned="init"))], "branches": []},
        r"Train\.replicates = 4: pruned weights frozen",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "fields", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_trained_together_is_said_before_anything_is(
    lab: Any, changes: dict[str, Any], fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make_plan(study_of(lab, changes, **fields))
    assert lab.loop.take() == 0


def test_checkpoints_of_a_batch_are_answered_for_when_all_are_written(lab: Any) -> None:
    checkpoints = importlib.import_module("lth_ray.lottery.execution.checkpoints")
    written: list[int] = []
    store, network = lab.store(), torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(network.parameters())
    run = type("Run", (), {"model": network, "optimizer": optimizer, "step": 3, "carried": {}, "regrowth": None})()
    with checkpoints.Checkpoints(store, lambda: written.append(len(store.list("checkpoints")))) as saved:
        saved.save(("a", run, {}), ("b", run, {}))
    assert written == [2]

"""Several jobs in one trial: it waits for all that they need, and each may fall out of it."""

from collections.abc import Callable
from typing import Any

import pytest
from ray.tune.experiment import Trial

from lth_ray.config import ACCURACY, Launch, Study, set_fields, steps
from lth_ray.lottery import Plan, StopRule, make_plan, make_trials, ticket_rows
from lth_ray.running import history
from lth_ray.running import trial as trials
from lth_ray.running.scheduler import CONTINUE, STOP
from lth_ray.running.settings import Settings
from lth_ray.store import StorageError, Store
from tests.conftest import Call
from tests.running.conftest import declared
from tests.running.test_scheduler import FakeJob, FakeTrial, FakeTune, job

# Tune's side ----------------------------------------------------------------------------------------------------------


def tune_of(*together: FakeJob, others: tuple[FakeJob, ...] = (), **rules: Any) -> tuple[FakeTune, FakeTrial]:
    """With one trial of several jobs, and one for each of the others."""
    tune = FakeTune(*others, **rules)
    trial = FakeTrial("shared", {"trial": {"jobs": [*together]}})
    for each in together:
        tune.trials[each.id] = trial
    tune.scheduler.on_trial_add(tune, trial)  # type: ignore[arg-type]
    return tune, trial


def left_in(trial: FakeTrial) -> list[str]:
    return [job.id for job in trial.config["trial"]["jobs"]]


def started(tune: FakeTune, trial: FakeTrial) -> bool:
    tune.start_all()
    return trial.status == Trial.RUNNING


def test_a_trial_begins_when_all_that_its_jobs_need_is_there() -> None:
    tune, trial = tune_of(job("a", "x.1"), job("b", "y.1"), others=(job("x"), job("y")))
    assert tune.start_all() == ["x", "y"]
    tune.report("x")
    assert not started(tune, trial)
    tune.report("y")
    assert tune.start_all() == ["a"]


def test_what_one_of_them_has_done_serves_at_once() -> None:
    tune, _ = tune_of(job("a", rounds=2), job("b", rounds=2), others=(job("of_b", "b.1"),))
    assert tune.start_all() == ["a"]
    assert tune.scheduler.on_trial_result(tune, tune.trials["b"], {"key": "b.1", **GOOD}) == CONTINUE  # type: ignore[arg-type]
    assert tune.start_all() == ["of_b"]


GOOD = {"diverged_at": None, "judged": 0.9}
FALLS: dict[str, dict[str, Any]] = {
    "failed": {"failed": "scores are NaN"},
    "diverged": {"diverged_at": 20},
    "stop_below": {"judged": 0.1},
}


@pytest.mark.parametrize("result", FALLS.values(), ids=FALLS)
def test_one_that_ends_early_leaves_the_others_at_work(result: dict[str, Any]) -> None:
    rules = {f"{name}.{n}": StopRule(0.5, ACCURACY) for name in "abc" for n in (1, 2)}
    together = job("a", rounds=2), job("b", rounds=2), job("c", rounds=2)
    tune, trial = tune_of(*together, others=(job("of_b", "b.2"),), stop_rules=rules)
    assert started(tune, trial)

    def tell(name: str, number: int, **given: Any) -> str:
        told = {"key": f"{name}.{number}", **GOOD, **given}
        return tune.scheduler.on_trial_result(tune, trial, told)  # type: ignore[arg-type]

    assert tell("a", 1) == CONTINUE
    assert tell("b", 1, **result) == CONTINUE
    assert tell("c", 1) == CONTINUE
    assert set(tune.endings) == {"b", "of_b"}
    assert left_in(trial) == ["a", "c"]  # what a process is given that takes the trial up after a fault
    assert tune.scheduler.active
    assert tell("a", 2) == CONTINUE
    assert tell("c", 2, **result) == STOP
    assert not tune.scheduler.active
    assert set(tune.endings) == {"b", "of_b", "c"}


def test_one_whose_needs_will_never_be_there_holds_up_nobody() -> None:
    tune, trial = tune_of(
        job("a", "x.1"), job("b", "y.1"), job("c", "z.1"), others=(job("x"), job("y"), job("z")), slots=3
    )
    tune.start_all()
    tune.report("y", failed="the disk is full")
    tune.report("x")
    assert not started(tune, trial)
    tune.report("z", diverged_at=10)
    assert tune.start_all() == ["a"]
    assert left_in(trial) == ["a"]
    because = "y ended early: the disk is full"
    assert tune.endings["b"] == (because, True)
    assert not tune.endings["c"][1]
    assert not trial.errors


def test_a_trial_ends_with_its_last_job() -> None:
    tune, trial = tune_of(job("a", "x.1"), job("b", "x.1"), others=(job("x"),))
    tune.start_all()
    tune.report("x", failed="gone")
    assert set(tune.endings) == {"x", "a", "b"}
    assert trial.status == Trial.ERROR
    assert len(trial.errors) == 1


def test_a_lost_trial_ends_what_of_it_is_not_done() -> None:
    tune, trial = tune_of(job("a"), job("b"), others=(job("of_a", "a.1"), job("of_b", "b.1")))
    assert started(tune, trial)
    tune.scheduler.on_trial_result(tune, trial, {"key": "a.1", **GOOD})  # type: ignore[arg-type]
    tune.scheduler.on_trial_error(tune, trial)  # type: ignore[arg-type]
    trial.status = Trial.ERROR
    assert tune.start_all() == ["of_a"]
    assert set(tune.endings) == {"b", "of_b"}


def test_cancelling_one_of_them_before_and_while_they_run(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: set[str] = {"c"}
    monkeypatch.setattr("lth_ray.running.scheduler.CANCEL_POLL_S", 0.0)
    together = [job(name, "x.1", rounds=2) for name in "abc"]
    tune, trial = tune_of(*together, others=(job("x"),), cancelled=lambda: asked)
    tune.start_all()
    assert left_in(trial) == ["a", "b"]
    tune.report("x")
    assert started(tune, trial)
    asked |= {"a"}
    tune.start_all()
    assert (left_in(trial), trial.status) == (["b"], Trial.RUNNING)
    told = {"key": "a.1", **GOOD}  # its present round, which ends with the others'
    assert tune.scheduler.on_trial_result(tune, trial, told) == CONTINUE  # type: ignore[arg-type]
    asked |= {"b"}
    assert {name: ending for name, (ending, _) in tune.endings.items()} == dict.fromkeys("abc", "it was cancelled")
    assert trial.status == Trial.ERROR
    assert not tune.scheduler.active


# The process' side ----------------------------------------------------------------------------------------------------


@pytest.fixture
def study() -> Study:
    return set_fields(declared(), {"train.replicates": 4, "seeds": [0, 1, 2], "rewind": [steps(0)], "branches": []})


Told = list[dict[str, Any]]


@pytest.fixture
def tried(
    study: Study, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> tuple[Callable[[Callable[[dict[str, Any]], None]], Told], Plan, Store]:
    """(call(what to do at a report) -> all reports of the study's trials in turn, the plan, the store)"""
    store = Store.open(str(tmp_path / "store"))
    plan = make_plan(study, None, store)
    settings = Settings(store, {"digits": ("digits", None)}, study=study.name)

    def call(on_report: Callable[[dict[str, Any]], None]) -> Told:
        told: Told = []

        def report(result: dict[str, Any]) -> None:
            told.append(result)
            on_report(result)

        monkeypatch.setattr(trials.tune, "report", report)
        for trial in make_trials(plan.jobs):
            trials.trial({"jobs": [*trial], "settings": settings})
        return told

    return call, plan, store


def test_every_task_is_reported_once(tried: Any) -> None:
    call, plan, store = tried
    told = call(lambda _: None)
    assert len(told) == len({result["key"] for result in told}) == 9
    assert {result["trained_steps"] for result in told} == {100}
    rows = ticket_rows(plan, store)
    assert {result["key"]: result["test"] for result in told} == {row["key"]: row["test_accuracy"] for row in rows}
    assert [result["trained_steps"] for result in call(lambda _: None)] == [0] * 9  # taken up after a fault


def test_a_cancelled_lineage_is_not_taken_into_the_next_round(tried: Any, study: Study) -> None:
    call, plan, store = tried

    def at(result: dict[str, Any]) -> None:
        if result["key"] == plan.lineages[0].rounds[1].segment.key:
            store.put_study(study.name, history.CANCELLED, {"lineages": ["k0/seed1"]})

    told = call(at)
    assert len(told) == 8
    rounds = {seed: [r["round"] for r in ticket_rows(plan, store) if r["seed"] == seed] for seed in study.seeds}
    assert rounds == {0: [0, 1, 2], 1: [0, 1], 2: [0, 1, 2]}


def test_a_training_that_fails_is_reported_for_all_of_it(tried: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    call, _, _ = tried

    def failing(*_: Any) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr(trials, "carry_out_all", failing)
    told = call(lambda _: None)
    assert [result["failed"] for result in told] == ["the disk is full"] * 6  # the first piece of each job
    assert len({result["key"] for result in told}) == 6


def test_requests_that_cannot_be_read_now_cancel_nothing(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(*_: Any) -> None:
        raise StorageError("no answer")

    monkeypatch.setattr(history, "cancelled", unreadable)
    assert Settings(Store.open(str(tmp_path)), {}, study="small").cancelled() == set()


# What is said before --------------------------------------------------------------------------------------------------


def test_the_plan_says_what_is_trained_together(study: Study, call: Call, tmp_path: Any) -> None:
    code, printed = call(study, "--plan", "--storage", tmp_path)
    assert code == 0
    assert "trained together" in printed
    assert "3 of 4: k0/seed0, k0/seed1, k0/seed2" in printed
    code, printed = call(set_fields(study, {"train.replicates": 1}), "--plan", "--storage", tmp_path)
    assert "trained together" not in printed


def test_workers_and_replicates_exclude_each_other(study: Study, call: Call, tmp_path: Any) -> None:
    for flags in (("--plan",), ()):
        code, printed = call(study, "--workers", 1, "--storage", tmp_path, *flags)
        assert code == 2
        assert "--workers 1: Train.replicates = 4" in printed
        assert "leave one of them out" in printed
    assert Launch(workers=1).workers == 1

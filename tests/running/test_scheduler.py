"""The scheduler's decisions, with a stand-in for Tune: the trial that runs next, and what a failure ends."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.experiment import Trial

from lth_ray.config import ACCURACY
from lth_ray.lottery import StopRule
from lth_ray.running.scheduler import CONTINUE, STOP, LineageScheduler

GOOD = {"diverged_at": None, "judged": 0.9}


@dataclass(frozen=True)
class FakeJob:
    id: str
    pieces: tuple[Any, ...]
    needs: frozenset[str]
    kind: str = "lineage"
    masks: frozenset[str] = frozenset()


def job(name: str, *needs: str, rounds: int = 1, kind: str = "lineage") -> FakeJob:
    """Its pieces are NAME.1, NAME.2 ..."""
    return FakeJob(
        name, tuple(SimpleNamespace(key=f"{name}.{n + 1}") for n in range(rounds)), frozenset(needs), kind,
        frozenset(needs if kind == "branch" else ()),
    )  # fmt: skip


@dataclass(eq=False)
class FakeTrial:
    trial_id: str
    config: dict[str, Any]
    status: str = Trial.PENDING
    errors: list[str] = field(default_factory=list)

    def set_status(self, status: str) -> None:
        self.status = status

    def init_local_path(self) -> None:
        pass

    def is_finished(self) -> bool:
        return self.status in (Trial.ERROR, Trial.TERMINATED)

    def handle_error(self, error: Exception) -> None:
        self.errors.append(str(error))


class FakeTune:
    """As much of Tune's controller as the scheduler meets."""

    def __init__(self, *jobs: FakeJob, slots: int = 2, **rules: Any) -> None:
        self.search_alg = SimpleNamespace(on_trial_complete=lambda *_, **__: None)
        priorities = rules.pop("priorities", {})
        self.scheduler = LineageScheduler(slots, priorities, **rules)
        self.trials: dict[str, Any] = {}
        for each in jobs:
            self.add(each)

    def add(self, each: FakeJob) -> None:
        trial = FakeTrial(f"trial-{each.id}", {"trial": {"jobs": [each]}})
        self.trials[each.id] = trial
        self.scheduler.on_trial_add(self, trial)

    def _schedule_trial_stop(self, trial: FakeTrial, exception: Exception) -> None:
        trial.status = Trial.ERROR

    def start(self) -> str | None:
        """Starts what the scheduler chooses, if anything; its id."""
        trial = self.scheduler.choose_trial_to_run(self)
        assert self.scheduler.choose_trial_to_run(self) is trial  # asked again, it says the same
        if trial is None:
            return None
        trial.status = Trial.RUNNING
        return str(trial.config["trial"]["jobs"][0].id)

    def start_all(self) -> list[str]:
        return list(iter(self.start, None))

    def report(self, name: str, number: int = 1, **result: Any) -> str:
        trial = self.trials[name]
        decision = self.scheduler.on_trial_result(self, trial, {"key": f"{name}.{number}", **GOOD, **result})
        if decision == STOP or number == len(trial.config["trial"]["jobs"][0].pieces):
            trial.status = Trial.TERMINATED
            self.scheduler.on_trial_complete(self, trial, {})
        return decision

    @property
    def endings(self) -> Mapping[str, tuple[str, bool]]:
        self.start_all()
        return {name: (ending.reason, ending.failed) for name, ending in self.scheduler.endings.items()}


def test_a_trial_waits_until_all_that_it_needs_is_there() -> None:
    tune = FakeTune(job("consumer", "a.2", "b.1"), job("a", rounds=2), job("b"))
    assert tune.start_all() == ["a", "b"]
    tune.report("b")
    tune.report("a", 1)
    assert tune.start_all() == []
    tune.report("a", 2)
    assert tune.start_all() == ["consumer"]


def test_what_is_done_before_a_consumer_is_added_need_not_be_done_again() -> None:
    tune = FakeTune(job("a"))
    tune.start()
    tune.report("a")
    tune.add(job("late", "a.1"))
    assert tune.start() == "late"


def test_the_longest_chain_goes_first_within_the_slots() -> None:
    tune = FakeTune(job("short"), job("long"), job("middle"), priorities={"short": 1, "long": 30, "middle": 20})
    assert tune.start_all() == ["long", "middle"]
    tune.report("middle")
    assert tune.start_all() == ["short"]


def test_one_is_staged_ahead_of_its_slot_and_its_time_counts_from_there(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("lth_ray.running.scheduler.time.monotonic", lambda: now)
    tune = FakeTune(job("a"), job("b"), job("c", "a.1"), slots=1, ahead=1)
    assert tune.start_all() == ["a", "b"]
    now = 10.0
    assert tune.scheduler.spent_s == 10
    tune.report("a")
    assert tune.scheduler.active[tune.trials["b"]] == 10
    assert tune.start_all() == ["c"]
    now = 15.0
    assert tune.scheduler.spent_s == 15
    tune.report("b")
    now = 16.0
    tune.report("c")
    assert tune.scheduler.spent_s == 16
    assert not tune.scheduler.active


def test_a_failed_producer_ends_its_dependents_and_theirs_with_the_first_reason() -> None:
    chain = [job("c", "b.1"), job("b", "a.2"), job("a", rounds=2), job("other")]
    tune = FakeTune(*chain)
    tune.start_all()
    assert tune.report("a", failed="the disk is full") == STOP
    because = "a ended early: the disk is full"
    assert tune.endings == {"a": ("the disk is full", True), "b": (because, True), "c": (because, True)}
    assert tune.trials["c"].errors == [because]
    assert tune.report("other") == CONTINUE
    tune.add(job("late", "a.2"))  # Tune may add a trial when its producer has failed already
    assert tune.endings["late"] == (because, True)


def test_what_a_failed_producer_had_finished_still_serves() -> None:
    tune = FakeTune(job("a", rounds=2), job("early", "a.1"), job("late", "a.2"))
    tune.start()
    tune.report("a", 1)
    tune.report("a", 2, failed="gone")
    assert tune.start_all() == ["early"]
    assert set(tune.endings) == {"a", "late"}


def test_a_requeued_trial_keeps_its_slot() -> None:
    tune = FakeTune(job("a"), job("b"), slots=1)
    assert tune.start_all() == ["a"]
    trial = tune.trials["a"]
    trial.status = Trial.ERROR  # so it is while Tune sees to its recovery
    tune.scheduler.on_trial_error(tune, trial)
    trial.status = Trial.PENDING
    tune.scheduler.on_trial_add(tune, trial)
    assert trial.status == Trial.PENDING
    assert tune.start_all() == []
    trial.status = Trial.RUNNING
    tune.report("a")
    assert tune.start_all() == ["b"]
    assert tune.endings == {}


@pytest.mark.parametrize("told", [True, False], ids=["Tune gives up", "Tune ends it without a word"])
def test_a_lost_trial_frees_its_slot_and_ends_its_dependents(told: bool) -> None:
    tune = FakeTune(job("a"), job("b"), job("c", "a.1"), slots=1)
    tune.start_all()
    trial = tune.trials["a"]
    if told:
        tune.scheduler.on_trial_error(tune, trial)  # RUNNING: there will be no further attempt
    trial.status = Trial.ERROR
    assert tune.start_all() == ["b"]
    assert {name: failed for name, (_, failed) in tune.endings.items()} == {"a": True, "c": True}


def test_stop_below_ends_a_lineage_and_its_later_branches() -> None:
    tune = FakeTune(
        job("a", rounds=3), job("now", "a.2", kind="branch"), job("later", "a.3", kind="branch"),
        stop_rules={f"a.{n}": StopRule(0.5, ACCURACY) for n in (1, 2, 3)},
    )  # fmt: skip
    tune.start()
    assert tune.report("a", 1, judged=0.5) == CONTINUE
    assert tune.report("a", 2, judged=0.4999) == STOP
    assert tune.start_all() == ["now"]
    reason = "its accuracy 0.4999 is under stop_below = 0.5"
    assert tune.endings == {"a": (reason, False), "later": (f"a ended early: {reason}", False)}


def test_a_diverged_run_is_a_result_whose_mask_still_serves_branches() -> None:
    tune = FakeTune(
        job("dense", kind="dense"), job("a", "dense.1", rounds=2), job("branch", "a.1", kind="branch"),
        job("later", "a.2", kind="branch"), job("wild", kind="dense"), job("b", "wild.1"),
    )  # fmt: skip
    tune.start_all()
    tune.report("dense")
    tune.report("wild", diverged_at=20)
    assert tune.start_all() == ["a"]
    assert tune.report("a", 1, diverged_at=70) == STOP
    assert tune.start_all() == ["branch"]
    assert set(tune.endings) == {"wild", "b", "a", "later"}
    assert not any(failed for _, failed in tune.endings.values())
    assert "by step 20" in tune.endings["b"][0]


def test_cancelled_lineages_end_running_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: set[str] = set()
    monkeypatch.setattr("lth_ray.running.scheduler.CANCEL_POLL_S", 0.0)
    jobs = job("a", rounds=2), job("b"), job("c"), job("of_a", "a.2")
    tune = FakeTune(*jobs, slots=1, cancelled=lambda: asked)
    assert tune.start_all() == ["a"]
    asked |= {"a", "b", "unknown"}
    assert tune.start_all() == ["c"]
    assert {name: ending[0] for name, ending in tune.endings.items()} == {
        "a": "it was cancelled", "b": "it was cancelled", "of_a": "a ended early: it was cancelled",
    }  # fmt: skip
    assert not any(failed for _, failed in tune.endings.values())
    assert tune.trials["a"].status == Trial.ERROR  # not handed to Tune's cache of processes: it is still training


def test_requests_to_cancel_are_not_asked_for_at_every_decision() -> None:
    calls: list[int] = []
    tune = FakeTune(job("a"), cancelled=lambda: set(calls.append(1) or ()))
    for _ in range(100):
        tune.scheduler.choose_trial_to_run(tune)
    assert len(calls) == 1


def test_slot_time_is_added_up() -> None:
    tune = FakeTune(job("a"), job("b"))
    tune.start_all()
    time.sleep(0.05)
    assert 0.1 <= tune.scheduler.spent_s < 0.5
    tune.report("a")
    tune.report("b")
    spent = tune.scheduler.spent_s
    time.sleep(0.02)
    assert tune.scheduler.spent_s == spent


@pytest.mark.parametrize("failing", [False, True])
def test_a_decision_costs_little_among_a_thousand_trials(failing: bool) -> None:
    roots = [job(f"root{n}") for n in range(200)]
    chains = [job(f"n{n}-{m}", f"root{n}.1") for n in range(200) for m in range(4)]
    tune = FakeTune(*chains, *roots, slots=8)
    slowest, decisions = 0.0, 0
    running = tune.start_all()
    while running:
        name = running.pop(0)
        if failing and name == "root0":
            tune.report(name, failed="gone")
        else:
            tune.report(name)
        began = time.thread_time()
        trial = tune.scheduler.choose_trial_to_run(tune)
        slowest, decisions = max(slowest, time.thread_time() - began), decisions + 1
        assert (trial is None) == (not tune.scheduler._heap)
        running += tune.start_all()
    assert decisions == 1000 - 4 * failing
    assert slowest < 0.005

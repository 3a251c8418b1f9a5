"""Several runs share a study's jobs: each begins what no other is at, and looks up what another has done."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from ray import cloudpickle
from ray.tune.experiment import Trial

from lth_ray.running import scheduler
from lth_ray.running.elsewhere import Elsewhere
from lth_ray.running.scheduler import STOP
from lth_ray.store import StorageAway, Store, live
from lth_ray.store.claims import Claims
from lth_ray.store.local import LocalFiles
from tests.running.test_scheduler import GOOD, FakeJob, FakeTune, job

JOBS = "abcd"


@pytest.fixture
def tunes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[FakeTune]]:
    """Two runs of one study with two slots each, that look at the storage whenever they are asked."""
    monkeypatch.setattr(scheduler, "CANCEL_POLL_S", 0.0)
    store = Store.open(str(tmp_path))
    with ExitStack() as stack:
        runs = [stack.enter_context(live(store, "s", name)) for name in ("one", "two")]
        yield [FakeTune(*study(), elsewhere=Elsewhere(Claims(store, run)), ahead=1) for run in runs]


def study() -> list[FakeJob]:
    """Four jobs of two rounds, and one that needs one of them; with keys as a storage has them."""
    return [*(keyed(name) for name in JOBS), keyed("e", "a")]


def keyed(name: str, *needs: str) -> FakeJob:
    keys = {f"{one}.{number}": f"{one * 32}-{number}" for one in (name, *needs) for number in (1, 2)}
    plain = job(name, *(keys[f"{need}.2"] for need in needs))
    return replace(plain, pieces=tuple(SimpleNamespace(key=keys[f"{name}.{number}"]) for number in (1, 2)))


def report(tune: FakeTune, name: str, number: int, **result: object) -> None:
    """Tell a run's scheduler that a round is over."""
    trial = tune.trials[name]
    decision = tune.scheduler.on_trial_result(tune, trial, {**GOOD, "key": f"{name * 32}-{number}", **result})
    if decision == STOP or number == 2:
        trial.status = Trial.TERMINATED
        tune.scheduler.on_trial_complete(tune, trial, {})


def both_at_work(one: FakeTune, two: FakeTune) -> list[dict[str, str]]:
    """Start all that each may, the first one first, and return what the second is told of the first one's jobs."""
    told: list[dict[str, str]] = []
    two.scheduler.elsewhere.told = lambda jobs: told.append(dict(jobs))
    one.start_all()
    two.start_all()
    return told


def test_each_job_is_begun_by_one(tunes: list[FakeTune]) -> None:
    one, two = tunes
    assert one.start_all() == ["a", "b", "c"]  # two at work, and one staged for who is done first
    assert two.start_all() == ["d"]
    assert [ready[1] for ready in two.scheduler.elsewhere.waiting] == ["a", "b", "c"]
    assert one.start_all() == two.start_all() == []


def test_what_another_has_done_is_looked_up_and_what_it_gave_up_is_begun(tunes: list[FakeTune]) -> None:
    one, two = tunes
    told = both_at_work(one, two)
    report(one, "a", 1)
    assert two.start_all() == []
    assert told[-1].keys() == {"a", "b", "c"}
    report(one, "a", 2)
    report(one, "b", 1, failed="it is wrong")
    assert two.start_all() == ["a"]
    report(two, "a", 1)
    report(two, "a", 2)
    assert "b" in two.start_all()
    assert {ready[1] for ready in two.scheduler.elsewhere.waiting} == {"c"}
    assert sum("e" in tune.start_all() for tune in tunes) == 1


def test_a_job_is_left_to_the_others_though_its_claim_was_not_removed_at_once(
    tunes: list[FakeTune], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = tunes
    both_at_work(one, two)

    def away(*_: object) -> None:
        raise StorageAway("away")

    with monkeypatch.context() as context:
        context.setattr(LocalFiles, "delete", away)
        report(one, "a", 1, failed="it is wrong")
    assert two.start_all() == []
    one.start_all()
    assert two.start_all() == ["a"]


def test_a_job_that_was_cancelled_waits_for_no_other_run(tunes: list[FakeTune]) -> None:
    one, two = tunes
    told = both_at_work(one, two)
    two.scheduler.cancelled = lambda: {"a"}
    two.start_all()
    two.start_all()
    assert [ready[1] for ready in two.scheduler.elsewhere.waiting] == ["b", "c"]
    assert told[-1].keys() == {"b", "c"}


def test_a_run_that_is_gone_leaves_its_jobs_to_the_others(
    tunes: list[FakeTune], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = tunes
    assert one.start_all() == ["a", "b", "c"]
    assert two.start_all() == ["d"]
    monkeypatch.setattr("lth_ray.store.claims.live_runs", lambda *_: [])
    assert set(two.start_all()) <= set("abc")
    assert len(two.scheduler.active) == 3


def test_the_last_jobs_are_not_staged_while_another_run_could_begin_them(tunes: list[FakeTune]) -> None:
    one, two = tunes
    assert two.start_all() == ["a", "b", "c"]
    for name in "abc":
        for number in (1, 2):
            report(two, name, number)
    assert set(two.start_all()) == {"d", "e"}
    assert one.start_all()[:3] == ["a", "b", "c"]


def test_tune_can_pickle_what_tells_a_board(tmp_path: Path) -> None:
    lock, store = threading.Lock(), Store.open(str(tmp_path))
    with live(store, "s", "one") as run:
        held = Elsewhere(Claims(store, run), lambda jobs: print(lock))
        assert cloudpickle.dumps(scheduler.LineageScheduler(1, {}, elsewhere=held))

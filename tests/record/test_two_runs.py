"""Several drivers of one study write to one MLflow: nothing is there twice, whoever is thought to be alive."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lth_ray.lottery import Plan
from lth_ray.record import destination, replay
from lth_ray.record.mlflow import rows, turns
from lth_ray.record.mlflow.tracking import Tracking
from lth_ray.store import Store, locked


def counts(database: Any) -> dict[str, int]:
    """Runs of each kind, and models."""
    experiment = database.client.get_experiment_by_name("tickets").experiment_id
    models = database.client.search_logged_models([experiment], max_results=1000)
    return {kind: len(database.runs(kind)) for kind in ("lineage", "ticket", "branch")} | {"model": len(models)}


WHOLE = {"lineage": 2, "ticket": 8, "branch": 14, "model": 8}


def opened(plan: Plan, store: Store, count: int = 2) -> list[Tracking]:
    """Drivers that have read MLflow before anything was in it."""
    return [Tracking(plan, store, destination(store.uri, None)) for _ in range(count)]


def everything(plan: Plan, driver: Tracking) -> None:
    for lineage in plan.lineages:
        for r in lineage.rounds:
            driver.ticket(lineage, r.number)
    for result in plan.branches:
        driver.branch(result)
    driver.close()


def test_one_that_had_read_the_runs_before_another_recorded_makes_none_again(
    plan: Plan, recorded_store: Store, fill: Any, database: Any
) -> None:
    """Also once that other one has ended, and nobody counts as alive."""
    fill(recorded_store, plan)
    first, second = opened(plan, recorded_store)
    everything(plan, first)
    points = database.points()
    everything(plan, second)
    assert counts(database) == WHOLE
    assert database.points() == points
    assert {run.info.status for run in database.runs()} == {"FINISHED"}


def test_drivers_that_record_at_the_same_time_make_every_run_once(
    plan: Plan, recorded_store: Store, fill: Any, database: Any
) -> None:
    fill(recorded_store, plan)
    drivers, together = opened(plan, recorded_store, 3), threading.Barrier(3)

    def record(driver: Tracking) -> None:
        together.wait()
        everything(plan, driver)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(record, drivers))
    assert counts(database) == WHOLE
    for ticket in database.runs("ticket"):
        history = database.client.get_metric_history(ticket.info.run_id, "test_accuracy")
        assert len({point.step for point in history}) == len(history)
    assert not recorded_store.list("studies/tickets/locks")
    assert replay(plan, recorded_store)["shipped"] == 0


def test_one_that_dies_between_its_lock_and_its_run_stops_nobody(
    plan: Plan, recorded_store: Store, fill: Any, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(recorded_store, plan)
    first, second = opened(plan, recorded_store)
    lineage = plan.lineages[0]
    first.ticket(lineage, 0)
    monkeypatch.setattr(turns, "locked", lambda store, path: locked(store, path, patience_s=0.3))
    with monkeypatch.context() as dying:
        dying.setattr(first, "_written", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        dying.setattr(Store, "delete", lambda *_: None)  # its lock stays
        with pytest.raises(KeyboardInterrupt):
            first.ticket(lineage, 1)
    assert recorded_store.list("studies/tickets/locks")
    assert second.ticket(lineage, 1)
    assert len(database.runs("ticket")) == 2


def test_one_that_was_stopped_within_its_turn_looks_again(
    plan: Plan, recorded_store: Store, fill: Any, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another has taken the next turn meanwhile, and made the run."""
    fill(recorded_store, plan)
    first, second = opened(plan, recorded_store)
    lineage, search = plan.lineages[0], first._search
    monkeypatch.setattr(turns, "locked", lambda store, path: locked(store, path, patience_s=0.3))
    stopped = iter([True])

    def stops(identity: Any) -> Any:
        found = search(identity)
        if next(stopped, False):
            assert second.ticket(lineage, 0)
        return found

    monkeypatch.setattr(first, "_search", stops)
    assert not first.ticket(lineage, 0)
    assert counts(database) == {"lineage": 1, "ticket": 1, "branch": 0, "model": 1}


def test_one_that_is_alone_looks_for_no_run_but_one_whose_making_was_not_answered(
    plan: Plan, recorded_store: Store, fill: Any, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "REVISIONS", ())  # a server's: it may have made what it does not answer to
    fill(recorded_store, plan)
    (driver,) = opened(plan, recorded_store, 1)
    create, search, looked = driver._client.create_run, driver._search, []

    def unanswered(*given: Any, **named: Any) -> None:
        create(*given, **named)
        raise TimeoutError

    with monkeypatch.context() as lost:
        lost.setattr(driver._client, "create_run", unanswered)
        with pytest.raises(TimeoutError):
            driver.ticket(plan.lineages[0], 0)
    monkeypatch.setattr(driver, "_search", lambda identity: looked.append(identity) or search(identity))
    everything(plan, driver)
    assert counts(database) == WHOLE
    assert len(looked) == 1

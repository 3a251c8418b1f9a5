"""Runs that are written into MLflow's tables while something is wrong: with the file, or done by a user or a server."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from lth_ray.lottery import Plan
from lth_ray.record import destination, replay
from lth_ray.record.mlflow import rows
from lth_ray.record.mlflow.tracking import Tracking
from lth_ray.store import Store

Fill = Callable[..., None]


@pytest.fixture
def tracking(plan: Plan, recorded_store: Store, fill: Fill, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tracking]:
    fill(recorded_store, plan)
    monkeypatch.setattr(rows, "BUSY_S", 0.1)
    yield (opened := Tracking(plan, recorded_store, destination(recorded_store.uri)))
    opened.close()


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Keep a database from everybody else."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin exclusive")
        yield
        other.execute("rollback")


def changed(path: Path, change: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute(change)


def test_what_a_locked_file_kept_out_is_written_later_under_its_own_name(
    tracking: Tracking, plan: Plan, database: Any
) -> None:
    lineage = plan.lineages[0]
    with held(database.path), pytest.raises(sqlite3.OperationalError, match="locked"):
        tracking.ticket(lineage, 1)
    assert not [*database.path.parent.rglob("mlruns/**/*.json")]  # files of a run that is not there
    assert tracking.ticket(lineage, 1)
    assert [run.info.run_name for run in database.runs()] == ["k0/seed0", "k0/seed0/round1"]


def test_a_run_that_was_taken_back_takes_no_data_set_with_it(tracking: Tracking, plan: Plan, database: Any) -> None:
    changed(database.path, "create trigger full before insert on input_tags begin select raise(abort, 'full'); end")
    with pytest.raises(sqlite3.IntegrityError, match="full"):
        tracking.ticket(plan.lineages[0], 1)
    changed(database.path, "drop trigger full")
    assert tracking.ticket(plan.lineages[0], 1)
    for run in database.runs():
        assert [use.dataset.name for use in run.inputs.dataset_inputs] == ["digits"]


def test_an_experiment_that_was_deleted_takes_no_run(tracking: Tracking, plan: Plan, database: Any) -> None:
    from mlflow.exceptions import MlflowException

    experiment = database.client.get_experiment_by_name("tickets").experiment_id
    database.client.delete_experiment(experiment)
    with pytest.raises(MlflowException, match="must be in the 'active' state"):
        tracking.ticket(plan.lineages[0], 1)
    database.client.restore_experiment(experiment)
    assert tracking.ticket(plan.lineages[0], 1)
    assert len(database.runs()) == 2


def test_a_run_that_was_deleted_holds_nobody_up_and_is_made_again(
    tracking: Tracking, plan: Plan, recorded_store: Store, database: Any
) -> None:
    first, second = plan.lineages
    assert tracking.ticket(first, 0)
    deleted = database.runs("lineage")[0].info.run_id
    database.client.delete_run(deleted)
    assert tracking.ticket(first, 1)
    assert tracking.ticket(second, 0)
    tracking.flush()
    (other,) = database.runs("lineage")
    assert [point.step for point in database.client.get_metric_history(other.info.run_id, "test_accuracy")] == [0]
    assert replay(plan, recorded_store)["failed"] == 0
    assert [run.info.run_name for run in database.runs("lineage")] == ["k0/seed0", "k0/seed1"]
    database.client.restore_run(deleted)
    assert database.client.get_run(deleted).data.tags["lth.rounds"].split("=")[0] == "0"


@pytest.mark.parametrize("odd", ["place/", "place?key=1", "place#part"])
def test_artifacts_lie_where_the_client_would_put_them(
    plan: Plan, recorded_store: Store, fill: Fill, database: Any, tmp_path: Path, odd: str
) -> None:
    """Of an experiment that somebody else has made, at an address with a slash, a query or a fragment at its end."""
    fill(recorded_store, plan, rounds=[0], branches=False)
    experiment = database.client.create_experiment("tickets", artifact_location=f"file://{tmp_path}/{odd}")
    replay(plan, recorded_store)
    by_client = database.client.create_run(experiment).info
    for run in database.runs("lineage"):
        expected = by_client.artifact_uri.replace(by_client.run_id, run.info.run_id)
        assert run.info.artifact_uri == expected
        (study,) = (file.path for file in database.client.list_artifacts(run.info.run_id))
        assert study == "study.json"

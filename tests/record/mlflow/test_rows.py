"""Runs that are written into MLflow's tables are those that its client makes, row for row."""

import math
import re
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from packaging.specifiers import SpecifierSet

from lth_ray.lottery import Plan
from lth_ray.record import destination, replay
from lth_ray.record.mlflow import rows
from lth_ray.record.mlflow.admitted import LARGEST, is_admitted
from lth_ray.store import Store

Fill = Callable[..., None]
# columns that differ from one recording to the next
OWN = {"creation_time", "last_update_time", "creation_timestamp_ms", "last_updated_timestamp_ms"}
ID = re.compile(r"(m-)?[0-9a-f]{32}")
ODD = [math.nan, math.inf, -math.inf, 0.5, 0.5, 0.25, 0.25, 1.0, 2.0, math.nan]


def contents(path: Path) -> dict[str, list[Any]]:
    """Return every row of a database but those of views, with names in the place of ids."""
    with sqlite3.connect(path) as database:
        names = dict(database.execute("select run_uuid, name from runs"))
        names |= dict(database.execute("select model_id, name from logged_models"))
        names |= dict(database.execute("select dataset_uuid, name from datasets"))
        uses = database.execute("select input_uuid, source_type, destination_id from inputs").fetchall()
        names |= {use: f"{kind} of {names[to]}" for use, kind, to in uses}

        def plain(value: Any) -> Any:
            if not isinstance(value, str):
                return value, type(value)
            return ID.sub(lambda found: names.get(found[0], found[0]), value.replace(str(path.parent), "storage"))

        found: dict[str, list[Any]] = {}
        for (table,) in database.execute("select name from sqlite_master where type = 'table'").fetchall():
            read = database.execute(f'select * from "{table}"')
            kept = [i for i, (column, *_) in enumerate(read.description) if column not in OWN]
            every = [[plain(row[i]) for i in kept] for row in read]
            found[table] = sorted((row for row in every if "sharedViewState" not in str(row)), key=repr)
        return found


def test_tables_hold_what_the_client_writes(
    plan: Plan, fill: Fill, fake_record: Any, empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With NaN, infinities and values that are there twice, whatever a run is measured by."""
    first = plan.lineages[0]
    plan = replace(
        plan, lineages=(first,), branches=tuple(result for result in plan.branches if result.lineage.id == first.id)
    )
    usage = {"moment": [1.76e12, 1.76e12 + 1000], "system/cpu": [50.0, 51.0]}
    segment = first.rounds[1].segment
    journal = {**fake_record(segment, 0.8).journal, "train_loss": ODD}
    held = []
    for known in ((), rows.REVISIONS):
        monkeypatch.setattr(rows, "REVISIONS", known)
        store = Store.open(str(tmp_path / f"{len(known)}"))
        path = tmp_path / f"{len(known)}" / "mlflow.db"
        path.write_bytes(empty_database.read_bytes())
        store.publish_segment(segment.key, fake_record(segment, 0.8, journal=journal, usage=usage).to_json())
        fill(store, plan)
        assert replay(plan, store)["shipped"] == 11
        files = (path.parent / "mlruns").rglob("*.json")
        pages = sorted(file.read_text().replace(store.uri, "") for file in files)
        held.append(contents(path) | {"files": pages})
    theirs, ours = held
    assert {LARGEST, -LARGEST} < {row[1][0] for row in ours["metrics"]}
    assert {name: len(found) for name, found in ours.items()} == {name: len(found) for name, found in theirs.items()}
    for name, found in ours.items():
        assert found == theirs[name], name


def test_the_tables_of_this_version_are_known(recorded_store: Store) -> None:
    if version("mlflow") not in SpecifierSet(">=3.17"):
        pytest.skip("of older versions the client makes all runs")
    database = rows.opened(destination(recorded_store.uri, None).uri)
    assert database is not None
    database.execute("update alembic_version set version_num = 'another'")
    database.close()
    assert rows.opened(destination(recorded_store.uri, None).uri) is None
    assert rows.opened("http://127.0.0.1:1") is None


def test_what_is_cut_short_leaves_nothing(recorded_store: Store) -> None:
    database = rows.opened(destination(recorded_store.uri, None).uri)
    assert database is not None
    twice = [("key", "value", 0)] * 2

    def broken() -> None:
        with rows.writing(database) as insert:
            insert("experiment_tags", twice[:1], "key value experiment_id")
            insert("experiment_tags", twice, "key value experiment_id")

    with pytest.raises(sqlite3.IntegrityError):
        broken()
    assert database.execute("select count(*) from experiment_tags").fetchone() == (0,)
    assert not database.in_transaction
    database.close()


@pytest.mark.parametrize(
    ("name", "admitted"),
    [("test_accuracy", True), ("system/cpu 1", True), ("a.b-c", True), ("a//b", False), ("../a", False),
     ("/a", False), ("", False), (".", False), ("lmc(k)", False), ("a" * 251, False)],
)  # fmt: skip
def test_names_that_mlflow_refuses_are_left_to_its_client(name: str, admitted: bool) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.utils.validation import _validate_metric

    assert is_admitted("run", {}, {}, [(name, 1.0, 0, 0)]) is admitted
    assert is_admitted("run", {}, {name: "1"}, []) is admitted
    if not admitted:
        with pytest.raises(MlflowException):
            _validate_metric(name, 1.0, 0, 0)

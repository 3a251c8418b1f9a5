"""A study's runs, written straight into the tables of MLflow's SQLite file: each whole, in one transaction.

By MLflow's client a ticket takes seven calls, each of several database sessions. What stands in the tables afterwards
is the same, by a test that reads both. The tables are published nowhere: REVISIONS are those that are known. With other
tables, with a server, and where MLflow would refuse a run, its client makes the run, or says what is wrong with it.
"""

import sqlite3
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lth_ray.record.mlflow.admitted import is_admitted, stored_value
from lth_ray.record.mlflow.database import database_file
from lth_ray.record.mlflow.experiment import Found, Run
from lth_ray.record.mlflow.models import NewModel, write_page
from lth_ray.record.mlflow.runs import Description, Metric
from lth_ray.record.mlflow.sending import dataset_fields, last_step, local_folder, write_files

REVISIONS = ("dc11669786a5",)  # of MLflow's tables: 3.17's
BUSY_S = 20.0  # as MLflow waits for who else writes
READY = 2  # a model's status
Row = Sequence[Any]


class Rows:
    """A writer of one experiment's runs, for one thread at a time."""

    def __init__(self, database: sqlite3.Connection, experiment: str, place: str, folder: Path) -> None:
        self._database, self._experiment, self._place, self._folder = database, int(experiment), place, folder

    @classmethod
    def of(cls, uri: str, experiment: str) -> "Rows | None":
        """Return the writer for a tracking URI; None where the client is to make runs."""
        database = opened(uri)
        if database is None:
            return None
        found = database.execute("select artifact_location from experiments where experiment_id = ?", (experiment,))
        place = "".join(place or "" for (place,) in found.fetchall()).rstrip("/")
        folder = local_folder(place) if place and not set("?#") & set(place) else None  # a query goes behind the path
        if folder is None:
            database.close()
            return None
        return cls(database, experiment, place, folder)

    def close(self) -> None:
        self._database.close()

    def add(self, description: Description, tags: Mapping[str, str], status: str, model: NewModel | None) -> Run | None:
        """Return a new run with all that its description holds, and its model; None where MLflow's client would refuse
        it, and is to say why.
        """
        tags = {**tags, "mlflow.runName": description.name}
        metrics = [*description.metrics, *description.usage]
        if not is_admitted(description.name, tags, description.params, metrics):
            return None
        run_id = uuid.uuid4().hex
        artifacts = f"{self._place}/{run_id}/artifacts"
        with writing(self._database) as insert:
            if not self._is_alive():
                return None
            write_files(self._folder / run_id / "artifacts", description.files)
            user, ended = tags.get("mlflow.user", "unknown"), None if status == "RUNNING" else description.ended
            insert("runs", [(
                run_id, description.name, "UNKNOWN", "", "", user, status, description.started, ended, "", "active",
                artifacts, self._experiment,
            )], "run_uuid name source_type source_name entry_point_name user_id status start_time end_time "
                "source_version lifecycle_stage artifact_uri experiment_id")  # fmt: skip
            insert("tags", [(*tag, run_id) for tag in tags.items()], "key value run_uuid")
            insert("params", [(*param, run_id) for param in description.params.items()], "key value run_uuid")
            self._log(insert, run_id, metrics)
            if description.dataset:
                self._use(insert, run_id, description.dataset)
            if model is not None:
                self._model(insert, run_id, description, model)
        return Run(run_id, artifacts, status == "FINISHED", status, "")

    def log(self, run_id: str, metrics: Iterable[Metric], tags: Mapping[str, str]) -> None:
        """Add metrics to a run, and set tags; what is there already is not there twice.

        One that a user has deleted has them too, and shows them if it is restored: others do not wait for it.
        """
        with writing(self._database) as insert:
            self._log(insert, run_id, list(metrics))
            again = "on conflict (key, run_uuid) do update set value = excluded.value"
            insert("tags", [(*tag, run_id) for tag in tags.items()], "key value run_uuid", again)

    def set_status(self, run_id: str, status: str, ended: int | None = None) -> None:
        """Set a run's status, and its end unless it goes on."""
        end = None if status == "RUNNING" else ended or _now()
        with writing(self._database):
            self._database.execute(
                "update runs set status = ?, end_time = coalesce(?, end_time) where run_uuid = ?", (status, end, run_id)
            )

    def runs(self, names: Sequence[str]) -> Iterator[Found]:
        """Yield the experiment's runs with their tags of these names, all in one read."""
        marks = ", ".join("?" * len(names))
        tags: dict[str, dict[str, str]] = {}
        for run_id, key, value in self._database.execute(
            "select t.run_uuid, t.key, t.value from tags t join runs r on r.run_uuid = t.run_uuid "
            f"where r.experiment_id = ? and r.lifecycle_stage = 'active' and t.key in ({marks})",
            (self._experiment, *names),
        ):
            tags.setdefault(run_id, {})[key] = value
        for run_id, name, status, artifacts in self._database.execute(
            "select run_uuid, name, status, artifact_uri from runs where experiment_id = ? and "
            "lifecycle_stage = 'active' order by start_time desc, run_uuid",
            (self._experiment,),
        ).fetchall():
            yield Found(run_id, name, status, artifacts, tags.get(run_id, {}))

    # ----------------------------------------------------------------------------------------------------------------

    def _is_alive(self) -> bool:
        """Return whether the experiment takes runs: nobody has deleted it meanwhile."""
        asked = "select 1 from experiments where experiment_id = ? and lifecycle_stage = 'active'"
        return bool(self._database.execute(asked, (self._experiment,)).fetchall())

    def _log(self, insert: Callable[..., None], run_id: str, metrics: Sequence[Metric]) -> None:
        """Add to a run's metrics, and to the latest of each: that of the greatest step, moment and value."""
        rows = {(name, moment, step, *stored_value(value)): None for name, value, step, moment in metrics}
        columns = "key timestamp step value is_nan run_uuid"
        insert("metrics", [(*row, run_id) for row in rows], columns, "on conflict do nothing")
        latest: dict[str, tuple[Any, ...]] = {}
        for row in rows:
            name, moment, step, value, _ = row
            if name not in latest or (step, moment, value) > (latest[name][2], latest[name][1], latest[name][3]):
                latest[name] = row
        insert(
            "latest_metrics",
            [(*row, run_id) for row in latest.values()],
            columns,
            "on conflict (key, run_uuid) do update set step = excluded.step, timestamp = excluded.timestamp, "
            "value = excluded.value, is_nan = excluded.is_nan "
            "where (excluded.step, excluded.timestamp, excluded.value) > (step, timestamp, value)",
        )

    def _use(self, insert: Callable[..., None], run_id: str, dataset: Mapping[str, Any]) -> None:
        """Name a run's data set."""
        fields = dataset_fields(dataset)
        identity = self._experiment, fields["name"], fields["digest"]
        new = (uuid.uuid4().hex, *identity, fields["source_type"], fields["source"], fields["profile"])
        columns = "dataset_uuid experiment_id name digest dataset_source_type dataset_source dataset_profile"
        insert("datasets", [new], columns, "on conflict do nothing")
        asked = "select dataset_uuid from datasets where experiment_id = ? and name = ? and digest = ?"
        [(dataset_id,)] = self._database.execute(asked, identity)
        use = uuid.uuid4().hex
        edge = (use, "DATASET", dataset_id, "RUN", run_id, 0)
        insert("inputs", [edge], EDGE)
        insert("input_tags", [(use, "mlflow.data.context", "training")], "input_uuid name value")

    def _model(self, insert: Callable[..., None], run_id: str, description: Description, model: NewModel) -> None:
        """Make a run's model, ready, with what it measured at its last step."""
        model_id, now, last = f"m-{uuid.uuid4().hex}", _now(), last_step(description.metrics)
        place = f"{self._place}/models/{model_id}/artifacts"
        write_page(self._folder / "models" / model_id / "artifacts", model.page)
        row = (model_id, self._experiment, model.name, place, now, now, READY, "active", model.type, run_id)
        insert("logged_models", [row], "model_id experiment_id name artifact_location creation_timestamp_ms "
               "last_updated_timestamp_ms status lifecycle_stage model_type source_run_id")  # fmt: skip
        own = model_id, self._experiment
        params, tags = description.params.items(), model.tags.items()
        insert("logged_model_params", [(*own, *param) for param in params],
               "model_id experiment_id param_key param_value")  # fmt: skip
        insert("logged_model_tags", [(*own, *tag) for tag in tags], "model_id experiment_id tag_key tag_value")
        measured: dict[tuple[str, int, int], float] = {}
        for name, value, step, moment in description.metrics:
            if step == last:
                measured.setdefault((name, moment, step), stored_value(value)[0])
        insert("logged_model_metrics", [(*own, run_id, *key, value) for key, value in measured.items()],
               "model_id experiment_id run_id metric_name metric_timestamp_ms metric_step metric_value")  # fmt: skip
        insert("inputs", [(uuid.uuid4().hex, "RUN_OUTPUT", run_id, "MODEL_OUTPUT", model_id, last)], EDGE)


EDGE = "input_uuid source_type source_id destination_type destination_id step"


def opened(uri: str) -> sqlite3.Connection | None:
    """Return a connection to a database of MLflow whose tables are known, else None."""
    path = database_file(uri)
    if path is None or not path.exists():
        return None
    database = sqlite3.connect(
        f"{Path(path).absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_S, isolation_level=None,
        check_same_thread=False,
    )  # fmt: skip
    try:
        known = database.execute("select version_num from alembic_version").fetchall()
        database.execute("pragma foreign_keys = on")
    except sqlite3.Error:
        known = []
    if len(known) == 1 and known[0][0] in REVISIONS:
        return database
    database.close()
    return None


@contextmanager
def writing(database: sqlite3.Connection) -> Iterator[Callable[..., None]]:
    """Yield what inserts rows; all that is inserted within the block is there at its end, or nothing of it."""

    def insert(table: str, rows: Sequence[Row], columns: str, otherwise: str = "") -> None:
        names = columns.split()
        marks = ", ".join("?" * len(names))
        database.executemany(f"insert into {table} ({', '.join(names)}) values ({marks}) {otherwise}", rows)

    database.execute("begin immediate")
    try:
        yield insert
        database.execute("commit")
    except BaseException:
        if database.in_transaction:
            database.execute("rollback")
        raise


def _now() -> int:
    return int(time.time() * 1000)

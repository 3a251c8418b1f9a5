"""Sending to MLflow what one run holds: batches of metrics, and files."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from lth_ray.record.mlflow.runs import Metric

BATCH = 800  # metrics in a request: MLflow takes 1000 metrics, params and tags together


class Sender(Protocol):
    """A sender of what runs that are there gain: by MLflow's client, or into its tables (rows.py)."""

    def log(self, run_id: str, metrics: list[Metric], tags: Mapping[str, str]) -> None: ...

    def set_status(self, run_id: str, status: str, ended: int | None = None) -> None: ...


class ByClient:
    """A sender by MLflow's client."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def log(self, run_id: str, metrics: list[Metric], tags: Mapping[str, str]) -> None:
        log_batch(self._client, run_id, metrics, {}, tags)

    def set_status(self, run_id: str, status: str, ended: int | None = None) -> None:
        if status == "RUNNING":
            self._client.update_run(run_id, status=status)
        else:
            self._client.set_terminated(run_id, status, end_time=ended)


def log_batch(
    client: Any,
    run_id: str,
    metrics: list[Metric],
    params: Mapping[str, str],
    tags: Mapping[str, str],
    model: str | None = None,
    beside: Sequence[Metric] = (),
) -> None:
    """Send params, then metrics, then tags, in as few requests as MLflow's limits allow; a tag comes after
    all else.

    model: the id of a LoggedModel that was measured at the last step of `metrics`.
    beside: other metrics, which are none of its.
    """
    from mlflow import entities

    last = last_step(metrics)

    def entity(metric: Metric, model: str | None) -> Any:
        name, value, step, moment = metric
        return entities.Metric(name, value, moment, step, model_id=model if step == last else None)

    every = [*(entity(one, model) for one in metrics), *(entity(one, None) for one in beside)]
    batches = [every[first : first + BATCH] for first in range(0, len(every), BATCH)] or [[]]
    for batch in batches:
        client.log_batch(
            run_id,
            metrics=batch,
            params=[entities.Param(name, value) for name, value in params.items()] if batch is batches[0] else [],
            tags=[entities.RunTag(name, value) for name, value in tags.items()] if batch is batches[-1] else [],
            synchronous=True,
        )


def last_step(metrics: Sequence[Metric]) -> int:
    """Return the step at which a model's run ends; 0 without metrics."""
    return max((step for _, _, step, _ in metrics), default=0)


def dataset_fields(dataset: Mapping[str, Any]) -> dict[str, str]:
    """Return a data set, {"name", "digest", "profile"}, by the fields of MLflow's entity."""
    return {
        "name": dataset["name"],
        "digest": dataset["digest"][:36],
        "source_type": "lth_ray",
        "source": json.dumps(dataset["name"]),
        "profile": json.dumps(dataset["profile"]),
    }


def log_dataset(client: Any, run_id: str, dataset: Mapping[str, Any]) -> None:
    """Name a run's data set, as `dataset_fields` takes it. That takes MLflow 12 ms, so that branches have none."""
    from mlflow import entities

    found = entities.Dataset(**dataset_fields(dataset))
    context = [entities.InputTag("mlflow.data.context", "training")]
    client.log_inputs(run_id, [entities.DatasetInput(found, context)])


def put_files(client: Any, run_id: str, artifacts: str, files: Mapping[str, Any]) -> None:
    """Write {name: JSON document} to a run's artifacts; where they are local, without MLflow's 12 ms for
    each.
    """
    if not files:
        return
    folder = local_folder(artifacts)
    if folder is not None:
        write_files(folder, files)
        return
    with tempfile.TemporaryDirectory() as temporary:
        write_files(Path(temporary), files)
        client.log_artifacts(run_id, temporary)


def local_folder(artifacts: str) -> Path | None:
    """Return the folder of an artifact URI that lies on this machine, else None."""
    parts = urlsplit(artifacts)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return Path(artifacts) if not parts.scheme else None


def write_files(folder: Path, files: Mapping[str, Any]) -> None:
    """Write {name: JSON document} into a folder, which is made where there is anything to write."""
    if files:
        folder.mkdir(parents=True, exist_ok=True)
    for name, document in files.items():
        (folder / name).write_text(json.dumps(document, indent=1))

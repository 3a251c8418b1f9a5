"""Tickets as MLflow's LoggedModels: a JSON document of what each is and where its tensors lie.

A study has thousands of tickets, and the storage has their masks and weights already: a model refers to them, by URI
and by the line of Python that loads them, and copies none.
"""

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from lth_ray.lottery.kept.records import SegmentRecord, chosen
from lth_ray.lottery.tickets.exporting import kind_of_weights
from lth_ray.lottery.tickets.loading import addresses
from lth_ray.record.mlflow.runs import CONTENT, DIGEST, PARENT, Description
from lth_ray.record.mlflow.sending import local_folder
from lth_ray.store import Store

TYPE = "lottery-ticket"
ABOUT = "ticket.json"
FROM_RECORD = ("meaning", "mask", "states", "environment", "started_at", "seconds", "first", "last", "content")
UNSAID = (PARENT, "mlflow.loggedArtifacts")  # tags of a run that say nothing of its model


class Models:
    """The LoggedModels of one experiment's ticket runs. A run that is whole has its own; so none is made twice."""

    def __init__(self, client: Any, experiment: str, store: Store) -> None:
        self._client, self._experiment, self._store = client, experiment, store

    def begin(self, description: Description, run_id: str) -> Any:
        """Begin a new model of a ticket's run, shown with it. To be called once a run: see `of_run`."""
        from mlflow import entities

        tags = {name: value for name, value in description.tags.items() if name not in UNSAID}
        model = self._client.create_logged_model(
            self._experiment,
            name=model_name(description.name),
            source_run_id=run_id,
            tags=tags,
            params=description.params,
            model_type=TYPE,
        )
        step = max((step for _, _, step, _ in description.metrics), default=0)
        self._client.log_outputs(run_id, [entities.LoggedModelOutput(model.model_id, step)])
        return model

    def finish(self, model: Any, record: SegmentRecord) -> None:
        """Give a model its document and declare it ready."""
        page = ticket_page(self._store, record)
        folder = local_folder(model.artifact_location)
        if folder is not None:
            _write(folder, page)
        else:
            with tempfile.TemporaryDirectory() as temporary:
                _write(Path(temporary), page)
                self._client.log_model_artifacts(model.model_id, temporary)
        self._client.finalize_logged_model(model.model_id, "READY")

    def of_ticket(self, digest: str, content: str) -> Any | None:
        """Return a finished model by its tags."""
        tags = f"tags.`{DIGEST}` = '{digest}' AND tags.`{CONTENT}` = '{content}'"
        found = self._client.search_logged_models([self._experiment], tags)
        return next((model for model in found if model.status == "READY"), None)

    def of_run(self, run_id: str) -> Any | None:
        """Return the model of a ticket's run, from an attempt that was broken off or another driver's."""
        found = self._client.search_logged_models([self._experiment], f"source_run_id = '{run_id}'", max_results=1)
        return next(iter(found), None)


def model_name(name: str) -> str:
    """Return the name of a ticket's run as MLflow takes it for a model: "k0-seed1-round3"."""
    return re.sub(r"[/:.%\"'\s]+", "-", name)


def ticket_page(store: Store, record: SegmentRecord) -> bytes:
    """Return a ticket's ticket.json: what it is made from, where and when, and where its mask and its states lie."""
    about = chosen(record, FROM_RECORD)
    about |= {"key": record.key, "storage": store.uri, "weights": kind_of_weights(record, "trained")}
    about |= {"files": addresses(store, record), "load": f"lth_ray.load_ticket({record.key!r}, {store.uri!r})"}
    return json.dumps(about, indent=1).encode()


def _write(folder: Path, page: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ABOUT).write_bytes(page)

"""Tickets as MLflow's LoggedModels: a JSON document of what each is and where its tensors lie.

A study has thousands of tickets, and the storage has their masks and weights already: a model refers to them, by URI
and by the line of Python that loads them, and copies none.
"""

import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lth_ray.lottery.kept.records import SegmentRecord, chosen
from lth_ray.lottery.tickets.exporting import kind_of_weights
from lth_ray.lottery.tickets.loading import addresses
from lth_ray.record.mlflow.runs import CONTENT, DIGEST, PARENT, Description
from lth_ray.record.mlflow.sending import last_step, local_folder
from lth_ray.store import Store

TYPE = "lottery-ticket"
ABOUT = "ticket.json"
PAGE = 1000  # models that MLflow gives at once, at most
FROM_RECORD = ("meaning", "mask", "states", "environment", "started_at", "seconds", "first", "last", "content")
UNSAID = (PARENT, "mlflow.loggedArtifacts")  # tags of a run that say nothing of its model


@dataclass(frozen=True)
class Place:
    """A model that is in MLflow: its id, its run's, and where its document lies."""

    model_id: str
    run_id: str
    artifacts: str


@dataclass(frozen=True)
class NewModel:
    """A model that is to be made, of a ticket's run. page: its document."""

    name: str
    tags: dict[str, str]
    page: bytes
    type: str = TYPE


class Models:
    """The LoggedModels of one experiment's ticket runs. A run that is whole has its own; so none is made twice."""

    def __init__(self, client: Any, experiment: str, store: Store) -> None:
        self._client, self._experiment, self._store = client, experiment, store

    def begin(self, description: Description, run_id: str) -> Any:
        """Begin a new model of a ticket's run, shown with it. To be called once a run: see `of_run`."""
        from mlflow import entities

        model = self._client.create_logged_model(
            self._experiment,
            name=model_name(description.name),
            source_run_id=run_id,
            tags=model_tags(description),
            params=description.params,
            model_type=TYPE,
        )
        step = last_step(description.metrics)
        self._client.log_outputs(run_id, [entities.LoggedModelOutput(model.model_id, step)])
        return model

    def finish(self, model: Any, record: SegmentRecord) -> None:
        """Give a model its document and declare it ready."""
        page = ticket_page(self._store, record)
        folder = local_folder(model.artifact_location)
        if folder is not None:
            write_page(folder, page)
        else:
            with tempfile.TemporaryDirectory() as temporary:
                write_page(Path(temporary), page)
                self._client.log_model_artifacts(model.model_id, temporary)
        self._client.finalize_logged_model(model.model_id, "READY")

    def ready(self) -> dict[tuple[str, str], Place]:
        """Return {(lth.digest, lth.content): a finished model}, all read once, page by page."""
        found: dict[tuple[str, str], Place] = {}
        token = None
        while True:
            page = self._client.search_logged_models([self._experiment], max_results=PAGE, page_token=token)
            for model in page:
                if model.status == "READY":
                    place = Place(model.model_id, model.source_run_id, model.artifact_location)
                    found.setdefault((model.tags.get(DIGEST, ""), model.tags.get(CONTENT, "")), place)
            token = page.token
            if not token:
                return found

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


def new_model(store: Store, description: Description, record: SegmentRecord) -> NewModel:
    """Return the model of a ticket that is described, made whole."""
    return NewModel(model_name(description.name), model_tags(description), ticket_page(store, record))


def model_tags(description: Description) -> dict[str, str]:
    return {name: value for name, value in description.tags.items() if name not in UNSAID}


def write_page(folder: Path, page: bytes) -> None:
    """Write a model's document into its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ABOUT).write_bytes(page)

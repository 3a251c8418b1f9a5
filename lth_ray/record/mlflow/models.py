"""Tickets as MLflow's LoggedModels: safetensors files and a JSON document, nothing that is unpickled.

A study has thousands of tickets, so what each brings is small: its mask, what it is, and its weights where they are
few. A ticket that goes to the registry brings its weights whatever their size.
"""

import json
import re
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lth_ray.lottery import load_ticket
from lth_ray.lottery.kept.records import SegmentRecord, chosen
from lth_ray.lottery.tickets.exporting import kind_of_weights, weights_of_ticket
from lth_ray.record.mlflow.runs import CONTENT, DIGEST, FROM_RECORD, PARENT, Description
from lth_ray.record.mlflow.sending import local_folder
from lth_ray.store import StorageError, Store

if TYPE_CHECKING:
    from torch import Tensor

TYPE = "lottery-ticket"
FEW_BYTES, FLOAT_BYTES = 2 * 2**20, 4  # of a network whose weights every ticket brings along
MASK, REWIND, TRAINED, ABOUT = "mask.safetensors", "rewind.safetensors", "trained.safetensors", "ticket.json"
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
        """Give a model its files and declare it ready."""
        self.put(model, ticket_files(self._store, record))
        self._client.finalize_logged_model(model.model_id, "READY")

    def put(self, model: Any, files: Mapping[str, bytes]) -> None:
        folder = local_folder(model.artifact_location)
        if folder is not None:
            _write(folder, files)
            return
        with tempfile.TemporaryDirectory() as temporary:
            _write(Path(temporary), files)
            self._client.log_model_artifacts(model.model_id, temporary)

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


def ticket_files(store: Store, record: SegmentRecord, whatever_size: bool = False) -> dict[str, bytes]:
    """Return a ticket's files: {name: bytes}.

    ticket.json: what it is made from, where and when, and where its states lie. mask.safetensors: {parameter: bool},
    True keeps; none of a dense network. rewind.safetensors, trained.safetensors: state dicts with pruned weights at
    zero, where the study keeps them, and where the network is small unless whatever_size; trained are the weights that
    were measured (lth_ray.lottery.tickets.exporting), and ticket.json says what these are.
    """
    about = chosen(record, FROM_RECORD)
    about |= {"key": record.key, "storage": store.uri, "weights": kind_of_weights(record, "trained")}
    files = {ABOUT: json.dumps(about, indent=1).encode()}
    with suppress(StorageError):  # what is damaged or was collected is missing here too: that costs no measurement
        mask = store.load_mask(record.mask) if record.mask else {}
        if mask:
            files[MASK] = _encoded(mask)
        if whatever_size or _bytes(mask) * FLOAT_BYTES <= FEW_BYTES:
            ticket = load_ticket(record.key, store.uri)
            states = {"rewind": (REWIND, ticket.rewind_state), "trained": (TRAINED, ticket.trained_state)}
            for kind, (name, state) in states.items():
                if state is not None and (whatever_size or _bytes(state) <= FEW_BYTES):
                    files[name] = _encoded(weights_of_ticket(ticket, kind))
    return files


def _bytes(tensors: Mapping[str, "Tensor"]) -> int:
    return sum(tensor.nbytes for tensor in tensors.values())


def _encoded(tensors: Mapping[str, "Tensor"]) -> bytes:
    from safetensors.torch import save

    return bytes(save({name: tensor.contiguous() for name, tensor in tensors.items()}))


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)

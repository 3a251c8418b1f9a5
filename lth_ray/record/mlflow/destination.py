"""The destination of a study's MLflow record, and how long a server that is down may take."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lth_ray.config import ConfigError, check_no_password

DATABASE, ARTIFACTS = "mlflow.db", "mlruns"
LOCAL = "./lth_storage"  # of a study whose own storage is remote
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "8",  # seconds; by default a server that is down blocks a call for 247 s
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",  # else it sends usage statistics over the network
}


@dataclass(frozen=True)
class Destination:
    """A tracking URI and the folder of the artifacts of new experiments (None: the server's own)."""

    uri: str
    artifacts: Path | None = None


def destination(storage: str, tracking_uri: str | None = None) -> Destination:
    """Return `tracking_uri`, else the environment's MLFLOW_TRACKING_URI, else a database of the study's own.

    That is mlflow.db in the storage folder, with the artifacts in mlruns/ beside it; both are in ./lth_storage
    where the storage is remote. Look at it with: mlflow ui --backend-store-uri URI
    ConfigError where the address holds a password.
    """
    check_no_password("--tracking-uri", tracking_uri or "")
    check_no_password("MLFLOW_TRACKING_URI", os.environ.get("MLFLOW_TRACKING_URI", ""))
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    if uri:
        return Destination(_absolute(uri))
    local = storage.removeprefix("file://")
    folder = Path(LOCAL if "://" in local else local).expanduser().absolute()
    return Destination(f"sqlite:///{folder / DATABASE}", folder / ARTIFACTS)


def check_alive(experiment: Any, where: Destination) -> None:
    """Raise ConfigError for an MLflow experiment that somebody has deleted: it keeps its name, and takes no
    runs.
    """
    if experiment.lifecycle_stage != "active":
        raise ConfigError(
            f"the MLflow experiment {experiment.name!r} at {where.uri} was deleted: restore it "
            f"(MLFLOW_TRACKING_URI={where.uri} mlflow experiments restore --experiment-id {experiment.experiment_id}) "
            f"and run `lth-ray replay {experiment.name}`, or give the study another --name"
        )


def _absolute(uri: str) -> str:
    """Make a relative path of a database or folder one from this working directory, whoever uses it later."""
    if uri.startswith("sqlite:///") and uri != "sqlite:///:memory:":
        return f"sqlite:///{Path(uri.removeprefix('sqlite:///')).expanduser().absolute()}"
    return uri if ":" in uri or uri == "databricks" else str(Path(uri).expanduser().absolute())


def prepare_environment() -> None:
    """Set ENVIRONMENT where the user has not; MLflow reads it when it is imported and at each request."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)  # else it tells of each table it makes

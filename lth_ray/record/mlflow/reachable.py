"""A check that a tracking server would take a study's record, made without MLflow and without waiting for it."""

import os
import socket
import sqlite3
import urllib.error
import urllib.request
from base64 import b64encode
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit

from lth_ray.record.mlflow.destination import Destination

PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
ADDRESS_REMEDY = (
    "start the server (mlflow server --host ...), or check --tracking-uri and the firewall; a study runs without it, "
    "and `lth-ray replay NAME` sends what it missed"
)


@dataclass(frozen=True)
class Reach:
    """The outcome of reaching for a destination.

    works: it answers as it should.
    found: what was seen.
    remedy: what to do where that is not as it should be; also given where it works and something is amiss.
    """

    works: bool
    found: str
    remedy: str = ""


def reachable(where: Destination, timeout_s: float = 5.0) -> Reach:
    """Ask a server for its version, open a database file, or connect to a database server's port."""
    parts = urlsplit(where.uri)
    scheme = parts.scheme.partition("+")[0]
    shown = _without_password(where.uri)
    if scheme in ("http", "https"):
        return _server(where.uri.rstrip("/"), shown, timeout_s)
    if scheme == "sqlite":
        return _file(Path(where.uri.partition(":///")[2]))
    if scheme in ("", "file"):
        return Reach(
            True, f"{shown} is a folder", "give sqlite:///PATH or a server: MLflow's file store is on its way out"
        )
    if scheme in PORTS and parts.hostname:
        return _port(shown, parts.hostname, parts.port or PORTS[scheme], timeout_s)
    return Reach(True, f"{shown} is of a kind that is not looked at", "give http://HOST:PORT to have it checked")


def _server(uri: str, shown: str, timeout_s: float) -> Reach:
    request = urllib.request.Request(f"{uri}/version", headers=_credentials())
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            theirs = answer.read(100).decode(errors="replace").strip()
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            remedy = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
            return Reach(False, f"{shown} refuses: {error.code}", remedy)
        return Reach(False, f"{shown} answers with {error.code}", f"is that an MLflow server? {ADDRESS_REMEDY}")
    except (OSError, ValueError) as error:
        return Reach(False, f"{shown} does not answer: {error}", ADDRESS_REMEDY)
    if not theirs[:1].isdigit():
        return Reach(False, f"{shown} is no MLflow server: it calls its version {theirs[:20]!r}", ADDRESS_REMEDY)
    ours = _own_version()
    if ours and theirs.split(".")[0] != ours.split(".")[0]:
        return Reach(True, f"{shown} runs MLflow {theirs}, here is {ours}", f"install MLflow {ours} on the server")
    return Reach(True, f"{shown} runs MLflow {theirs}")


def _file(path: Path) -> Reach:
    """Check a database file: one that is not there yet is made by the first run, so its folder must allow
    that.
    """
    folder = next(place for place in (path.parent, *path.parent.parents) if place.exists())
    if not os.access(path if path.exists() else folder, os.W_OK):
        return Reach(
            False, f"{path} cannot be written", "choose a --storage or --tracking-uri that this user may write to"
        )
    if not path.exists():
        return Reach(True, f"{path} will be made by the first run")
    try:
        database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=2.0)
        try:
            database.execute("select version_num from alembic_version").fetchone()
        finally:
            database.close()
    except sqlite3.Error as error:
        remedy = "`lth-ray replay NAME` sets the file aside and writes a new one from the storage"
        return Reach(False, f"{path} is no MLflow database: {error}", remedy)
    return Reach(True, f"{path} is an MLflow database")


def _port(shown: str, host: str, port: int, timeout_s: float) -> Reach:
    try:
        socket.create_connection((host, port), timeout_s).close()
    except OSError as error:
        return Reach(False, f"{shown} does not answer: {error}", ADDRESS_REMEDY)
    return Reach(True, f"{shown} accepts connections")


def _credentials() -> dict[str, str]:
    """Return the credentials as MLflow's own client takes them from the environment."""
    user, password = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_PASSWORD")
    if user and password:
        return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}


def _own_version() -> str:
    try:
        return version("mlflow")
    except PackageNotFoundError:
        return ""


def _without_password(uri: str) -> str:
    parts = urlsplit(uri)
    if "@" not in parts.netloc:
        return uri
    return parts._replace(netloc=f"***@{parts.netloc.rpartition('@')[2]}").geturl()

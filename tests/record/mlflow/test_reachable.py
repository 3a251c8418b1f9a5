"""The check that a record would be taken: servers that are down, refuse or are something else; databases
likewise.
"""

import sqlite3
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from lth_ray.record.mlflow.destination import Destination, destination
from lth_ray.record.mlflow.reachable import reachable

Serve = Callable[[int, str], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """serve(status, body) -> the URL of a server that answers so."""
    servers = []

    def serve(status: int, body: str) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                allowed = status != 401 or self.headers.get("Authorization") == "Bearer secret"
                self.send_response(200 if allowed and status == 401 else status)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: Any) -> None: ...

        servers.append(HTTPServer(("127.0.0.1", 0), Handler))
        Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


SERVERS = {
    "up": (200, "3.17.2", True, "runs MLflow 3.17.2", ""),
    "older": (200, "2.9.0", True, "runs MLflow 2.9.0", "install MLflow"),
    "something else": (200, "<html>", False, "no MLflow server", "check --tracking-uri"),
    "refuses": (401, "", False, "refuses: 401", "MLFLOW_TRACKING_TOKEN"),
    "fails": (502, "", False, "answers with 502", "replay"),
}


@pytest.mark.parametrize("case", SERVERS)
def test_servers(case: str, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_TOKEN", raising=False)
    status, body, works, found, remedy = SERVERS[case]
    reach = reachable(Destination(serve(status, body)))
    assert reach.works == works
    assert found in reach.found
    assert remedy in reach.remedy


def test_a_token_is_sent(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret")
    assert reachable(Destination(serve(401, "3.17.2"))).works


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "postgresql://user:secret@127.0.0.1:9/mlflow"])
def test_a_server_that_is_down(uri: str) -> None:
    reach = reachable(Destination(uri), timeout_s=2.0)
    assert not reach.works
    assert "does not answer" in reach.found
    assert "secret" not in reach.found
    assert "replay" in reach.remedy


def test_a_server_that_comes_up(serve: Serve) -> None:
    database = serve(200, "").replace("http://", "postgresql://user:secret@") + "/mlflow"
    assert reachable(Destination(database)).works


def test_databases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    where = destination(str(tmp_path / "new"))
    assert "will be made" in reachable(where).found
    assert not (tmp_path / "new").exists()
    path = tmp_path / "foreign.db"
    path.write_text("no database at all, and long enough not to pass for an empty one")
    foreign = reachable(Destination(f"sqlite:///{path}"))
    assert not foreign.works
    assert "sets the file aside" in foreign.remedy
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("create table alembic_version (version_num text)")
    assert "is an MLflow database" in reachable(Destination(f"sqlite:///{tmp_path / 'mlflow.db'}")).found


def test_a_database_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write anywhere
    reach = reachable(Destination(f"sqlite:///{tmp_path / 'mlflow.db'}"))
    assert not reach.works
    assert "--tracking-uri" in reach.remedy

"""Being let into a cluster: addresses, tokens and dashboards."""

import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from lth_ray.running.doctor import joining


@pytest.fixture
def unused_port() -> int:
    """A port of this machine where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


KNOCKS = {
    "nobody": (("silent", "silent", True), "ray", "problem", "ray start --head"),
    "wrong token": (("refused", "refused", True), "token", "problem", "RAY_AUTH_MODE=token"),
    "no token": (("refused", "refused", False), "token", "problem", "ray get-auth-token"),
    "right token": (("refused", "open", True), "token", "ok", ""),
    "no token demanded": (("open", "open", False), "token", "note", "firewall"),
}


@pytest.mark.parametrize("case", KNOCKS)
def test_admission(case: str) -> None:
    (without, with_token, has), check, result, remedy = KNOCKS[case]
    finding = joining.admission("head:6379", without, with_token, has)[-1]  # type: ignore[arg-type]
    assert (finding.check, finding.result) == (check, result)
    assert remedy in finding.remedy


FORMS = {"http://head:8265": "ray job submit", "ray://head:10001": "HEAD:6379", "head": "HEAD:6379"}


@pytest.mark.parametrize("address", FORMS)
def test_the_form_of_an_address(address: str) -> None:
    finding = joining.form(address)
    assert finding is not None
    assert finding.result == "problem"
    assert FORMS[address] in finding.remedy
    assert joining.form("head:6379") is None
    assert joining.form("auto") is None


def test_the_token_is_looked_for_where_ray_looks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert joining.token() == ""
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("home\n")
    assert joining.token() == "home"
    (tmp_path / "elsewhere").write_text("path")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "elsewhere"))
    assert joining.token() == "path"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "given")
    assert joining.token() == "given"
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert joining.token() == ""


def test_nobody_answers_a_knock(unused_port: int) -> None:
    assert joining.knock(f"127.0.0.1:{unused_port}", timeout_s=2.0) == "silent"


@pytest.fixture(params=[200, 401, 500])
def answering(request: pytest.FixtureRequest) -> Iterator[tuple[int, str]]:
    """(status, URL) of a server that answers everything with that status."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(request.param)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield request.param, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_dashboards(answering: tuple[int, str], monkeypatch: pytest.MonkeyPatch) -> None:
    status, url = answering
    assert joining.dashboard(None).result == "ok"
    assert "loopback only" in joining.dashboard(url).found
    monkeypatch.setattr(joining, "LOOPBACK", ("none",))  # as if it were seen from outside
    finding = joining.dashboard(url)
    assert finding.result == {200: "problem", 401: "ok", 500: "note"}[status]
    assert status != 200 or "RAY_AUTH_MODE=token" in finding.remedy


def test_a_cluster_that_speaks_tls_is_not_knocked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_USE_TLS", "1")
    (finding,) = joining.admitted("head:6379")
    assert finding.result == "note"

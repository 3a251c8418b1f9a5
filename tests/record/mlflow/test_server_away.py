"""A server of MLflow that is down, silent or late keeps nobody, and gets everything in the end."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lth_ray.lottery import Plan
from lth_ray.record import RecordError, Shipper, entrance, replay
from lth_ray.store import Store
from tests.record.mlflow.test_shipper import Fill


def test_a_server_that_is_down_costs_nothing_and_is_told_of_once(
    plan: Plan, recorded_store: Store, fill: Fill, database: Any
) -> None:
    shipper, told = to_nobody(plan, recorded_store, fill)
    began = time.monotonic()
    for result in plan.branches:
        shipper.branch(result)
    assert time.monotonic() - began < 0.1
    time.sleep(0.5)
    counts = shipper.close(timeout_s=5)
    assert time.monotonic() - began < 8
    assert counts["shipped"] == 0
    assert counts["left"] >= 22
    assert len(told) == 2
    assert "cannot be written to" in told[0]
    assert replay(plan, recorded_store)["shipped"] == 22


def test_a_server_that_never_answers_keeps_nobody(plan: Plan, recorded_store: Store, fill: Fill, database: Any) -> None:
    """It takes connections and says nothing: as slow as a server can be."""
    fill(recorded_store, plan)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        shipper = Shipper(plan, recorded_store, f"http://127.0.0.1:{silent.getsockname()[1]}", warn=lambda _: None)
        for result in plan.branches:
            shipper.branch(result)
        assert time.monotonic() - began < 0.1
        counts = shipper.close(timeout_s=2)
        assert time.monotonic() - began < 5
    assert counts["shipped"] == 0
    assert counts["left"] >= 22
    assert replay(plan, recorded_store)["shipped"] == 22


def test_replay_says_that_the_server_is_down(plan: Plan, store: Store, fill: Fill) -> None:
    with pytest.raises(RecordError, match="cannot be written to"):
        replay(plan, store, f"http://127.0.0.1:{free_port()}")


def test_views_and_models_wait_for_a_server_as_runs_do(
    plan: Plan, recorded_store: Store, fill: Fill, database: Any
) -> None:
    """A replay makes up for a server that was down: runs, models, views, and links to these are there."""
    shipper, told = to_nobody(plan, recorded_store, fill)
    time.sleep(0.3)
    assert shipper.close(timeout_s=5)["shipped"] == 0
    assert not [text for text in told if "views" in text]  # one outage is told of once
    replay(plan, recorded_store)
    (experiment,) = [one for one in database.client.search_experiments() if one.name == "tickets"]
    assert len(database.client.search_logged_models([experiment.experiment_id])) == 8
    assert list(entrance(plan, recorded_store).links) == [
        "Accuracy against remaining weights", "Early-stop step against remaining weights",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_server_that_comes_up_later_gets_everything(
    plan: Plan, store: Store, fill: Fill, tmp_path: Path, empty_database: Path
) -> None:
    fill(store, plan, rounds=[0, 1])
    port = free_port()
    uri, told = f"http://127.0.0.1:{port}", list[str]()
    shipper = Shipper(plan, store, uri, warn=told.append)
    time.sleep(1)
    served = Path(shutil.copy(empty_database, tmp_path / "served.db"))  # the empty one is every other test's, too
    server = serve(tmp_path, served, port)
    try:
        for lineage in plan.lineages:
            shipper.ticket(lineage, 1)
        counts = shipper.close(timeout_s=120)
        assert (counts["shipped"], counts["left"]) == (8, 0)
        assert replay(plan, store, uri) == {"shipped": 0, "present": 8, "failed": 0}
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def to_nobody(plan: Plan, store: Store, fill: Fill) -> tuple[Shipper, list[str]]:
    """A shipper of a finished study to a server that is down, and what it warns of."""
    fill(store, plan)
    told: list[str] = []
    return Shipper(plan, store, f"http://127.0.0.1:{free_port()}", warn=told.append), told


def serve(folder: Path, database: Path, port: int) -> "subprocess.Popen[bytes]":
    """An MLflow server that answers."""
    server = subprocess.Popen(
        [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{database}", "--artifacts-destination", str(folder / "artifacts"),
        ],
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}, cwd=folder, start_new_session=True,
    )  # fmt: skip
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return server
        time.sleep(0.2)
    raise TimeoutError("the MLflow server did not come up in a minute")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

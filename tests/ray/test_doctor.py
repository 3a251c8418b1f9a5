"""`lth-ray doctor` on a real cluster, where each thing it looks for is broken in earnest.

The nodes are started as a lab does it, by `ray start`, each with an environment of its own; one of them is in a mount
namespace of its own, so that another folder lies where the storage and the data set should be.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytestmark = pytest.mark.slow

COMMANDS = Path(sys.executable).parent
UP = "will now block"  # what `ray start --block` says when the node is up
TOKEN = "an open secret of thirty-two letters"


@dataclass
class Nodes:
    """A cluster that grows. address: of its GCS. Nodes that share a session's folder must start one after another."""

    folder: Path
    address: str
    environment: dict[str, str]
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *options: str, within: Sequence[str] = (), **environment: str) -> None:
        log = self.folder / f"node-{len(self.started)}.log"
        command = [
            *within, str(COMMANDS / "ray"), "start", "--block", "--num-cpus=1", "--num-gpus=0",
            "--object-store-memory=100000000", "--disable-usage-stats", *options,
        ]  # fmt: skip
        with open(log, "wb") as output:
            process = subprocess.Popen(command, env=self.environment | environment, stdout=output, stderr=output)
        self.started.append(process)
        ends = time.monotonic() + 90
        while UP not in log.read_text():
            assert process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < ends, log.read_text()[-2000:]
            time.sleep(0.2)

    def doctor(self, *options: str, code: int, **environment: str) -> list[dict[str, Any]]:
        command = [str(COMMANDS / "lth-ray"), "doctor", "--json", "--address", self.address]
        began = time.monotonic()
        done = subprocess.run(
            [*command, "--storage", str(self.folder / "store"), *options],
            env=self.environment | environment, capture_output=True, text=True, timeout=90,
        )  # fmt: skip
        assert time.monotonic() - began < 70, "it promises to end in a minute"
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return list(json.loads(done.stdout)["findings"])

    def stop(self) -> None:
        for process in reversed(self.started):
            process.send_signal(signal.SIGTERM)
        for process in reversed(self.started):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def images(folder: Path, colour: str) -> None:
    for place in ("train/a", "train/b", "test/a"):
        (folder / place).mkdir(parents=True)
        Image.new("RGB", (8, 8), colour if place == "train/b" else "white").save(folder / place / "1.png")


@contextmanager
def a_head(**environment: str) -> Iterator[Nodes]:
    """A head whose dashboard listens on all addresses, and nodes that are added; all of them end with the block."""
    folder = Path(tempfile.mkdtemp(prefix="lth", dir="/tmp"))  # a socket's path must be short
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "GLOO_"))}
    own = {"RAY_TMPDIR": str(folder), "HOME": str(folder)}
    nodes = Nodes(folder, f"127.0.0.1:{port}", inherited | own | environment)
    try:
        nodes.start("--head", f"--port={port}", "--dashboard-host=0.0.0.0", "--dashboard-port=0")
        yield nodes
    finally:
        nodes.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Nodes]:
    """A head and a node, both healthy."""
    with a_head(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=TOKEN) as nodes:
        images(nodes.folder / "data", "red")
        nodes.start(f"--address={nodes.address}")
        yield nodes


def of(findings: list[dict[str, Any]], check: str, result: str = "problem") -> list[dict[str, Any]]:
    return [finding for finding in findings if (finding["check"], finding["result"]) == (check, result)]


def test_a_healthy_cluster(cluster: Nodes) -> None:
    findings = cluster.doctor("--data", "folder:data", "--data-root", str(cluster.folder), code=0)
    for check in ("nodes", "gpus", "disk", "/dev/shm", "clock", "gloo", "storage", "data"):
        assert len(of(findings, check, "ok")[-1]["nodes"]) == 2, check
    assert of(findings, "token", "ok")
    assert "demands a token" in of(findings, "dashboard", "ok")[0]["found"]
    assert of(findings, "versions", "ok")
    assert not [path for path in (cluster.folder / "store").rglob("*") if path.is_file()], "it leaves nothing behind"


TOKENS = {
    "wrong": {"RAY_AUTH_TOKEN": "another secret"},
    "none": {"RAY_AUTH_TOKEN": ""},
    "off": {"RAY_AUTH_MODE": "disabled"},
}


@pytest.mark.parametrize("broken", TOKENS)
def test_a_client_without_the_token(broken: str, cluster: Nodes) -> None:
    (finding,) = of(cluster.doctor(code=1, **TOKENS[broken]), "token")
    assert ("not the cluster's" if broken == "wrong" else "no token here") in finding["found"]
    assert "RAY_AUTH_MODE=token" in finding["remedy"]
    assert TOKEN not in json.dumps(finding)


def test_more_workers_than_there_is_room_for(cluster: Nodes) -> None:
    (finding,) = of(cluster.doctor("--workers", "3", code=1), "capacity")
    assert finding["remedy"].startswith("--workers 2 or fewer")


def test_nodes_that_differ(cluster: Nodes) -> None:
    """One has another numpy and a network interface that is not there; one has its own storage and other images."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("mount namespaces are not allowed here")
    before = {node for finding in cluster.doctor(code=0) for node in finding["nodes"]}
    fake = cluster.folder / "fake" / "numpy-0.0.1.dist-info"
    fake.mkdir(parents=True)
    (fake / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 0.0.1\n")
    cluster.start(f"--address={cluster.address}", PYTHONPATH=str(fake.parent), GLOO_SOCKET_IFNAME="nosuch0")
    images(cluster.folder / "other", "blue")
    mounts = (
        "mount --make-rprivate / && "
        f"mount -t tmpfs none {cluster.folder / 'store'} && "
        f"mount --bind {cluster.folder / 'other'} {cluster.folder / 'data'} && "
        'exec "$@"'
    )
    cluster.start(f"--address={cluster.address}", within=["unshare", "-m", "sh", "-c", mounts, "sh"])

    findings = cluster.doctor("--data", "folder:data", "--data-root", str(cluster.folder), code=1)
    (versions,), (gloo,), (storage,), (data,) = (of(findings, c) for c in ("versions", "gloo", "storage", "data"))
    (odd,), (apart,) = versions["nodes"], storage["nodes"]
    assert odd != apart
    assert not {odd, apart} & before
    assert "0.0.1 on" in versions["found"]
    assert gloo["nodes"] == [odd]
    assert "nosuch0" in gloo["found"]
    assert "GLOO_SOCKET_IFNAME" in gloo["remedy"]
    assert "another folder" in storage["found"]
    assert "s3://" in storage["remedy"]
    assert data["nodes"] == [apart]
    assert len(of(findings, "storage", "ok")[-1]["nodes"]) == 3


def test_a_cluster_without_tokens() -> None:
    with a_head(RAY_AUTH_MODE="disabled") as nodes:
        findings = nodes.doctor(code=1)
    (dashboard,), (token,) = of(findings, "dashboard"), of(findings, "token", "note")
    assert "asks for no token" in dashboard["found"]
    for finding in (dashboard, token):
        assert "RAY_AUTH_MODE=token" in finding["remedy"]

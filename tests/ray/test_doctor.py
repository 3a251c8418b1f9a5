"""`lth-ray doctor` on a real cluster, where each thing it looks for is broken in earnest.

One of its nodes is in a mount namespace of its own, so that another folder lies where the storage and the data set
should be.
"""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.ray.nodes import COMMANDS, Nodes, a_head

pytestmark = pytest.mark.slow

TOKEN = "an open secret of thirty-two letters"


def doctor(nodes: Nodes, *options: str, code: int, **environment: str) -> list[dict[str, Any]]:
    command = [str(COMMANDS / "lth-ray"), "doctor", "--json", "--address", nodes.address]
    began = time.monotonic()
    done = subprocess.run(
        [*command, "--storage", str(nodes.folder / "store"), *options],
        env=nodes.environment | environment, capture_output=True, text=True, timeout=90,
    )  # fmt: skip
    assert time.monotonic() - began < 70, "it promises to end in a minute"
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return list(json.loads(done.stdout)["findings"])


def images(folder: Path, colour: str) -> None:
    for place in ("train/a", "train/b", "test/a"):
        (folder / place).mkdir(parents=True)
        Image.new("RGB", (8, 8), colour if place == "train/b" else "white").save(folder / place / "1.png")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Nodes]:
    """A head and a node, both healthy."""
    with a_head(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=TOKEN) as nodes:
        images(nodes.folder / "data", "red")
        nodes.add()
        yield nodes


def of(findings: list[dict[str, Any]], check: str, result: str = "problem") -> list[dict[str, Any]]:
    return [finding for finding in findings if (finding["check"], finding["result"]) == (check, result)]


def test_a_healthy_cluster(cluster: Nodes) -> None:
    findings = doctor(cluster, "--data", "folder:data", "--data-root", str(cluster.folder), code=0)
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
    (finding,) = of(doctor(cluster, code=1, **TOKENS[broken]), "token")
    assert ("not the cluster's" if broken == "wrong" else "no token here") in finding["found"]
    assert "RAY_AUTH_MODE=token" in finding["remedy"]
    assert TOKEN not in json.dumps(finding)


def test_more_workers_than_there_is_room_for(cluster: Nodes) -> None:
    (finding,) = of(doctor(cluster, "--workers", "3", code=1), "capacity")
    assert finding["remedy"].startswith("--workers 2 or fewer")


def test_nodes_that_differ(cluster: Nodes) -> None:
    """One has another numpy and a network interface that is not there; one has its own storage and other images."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("mount namespaces are not allowed here")
    before = {node for finding in doctor(cluster, code=0) for node in finding["nodes"]}
    fake = cluster.folder / "fake" / "numpy-0.0.1.dist-info"
    fake.mkdir(parents=True)
    (fake / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 0.0.1\n")
    cluster.add(PYTHONPATH=str(fake.parent), GLOO_SOCKET_IFNAME="nosuch0")
    images(cluster.folder / "other", "blue")
    mounts = (
        "mount --make-rprivate / && "
        f"mount -t tmpfs none {cluster.folder / 'store'} && "
        f"mount --bind {cluster.folder / 'other'} {cluster.folder / 'data'} && "
        'exec "$@"'
    )
    cluster.add(within=["unshare", "-m", "sh", "-c", mounts, "sh"])

    findings = doctor(cluster, "--data", "folder:data", "--data-root", str(cluster.folder), code=1)
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
        findings = doctor(nodes, code=1)
    (dashboard,), (token,) = of(findings, "dashboard"), of(findings, "token", "note")
    assert "asks for no token" in dashboard["found"]
    for finding in (dashboard, token):
        assert "RAY_AUTH_MODE=token" in finding["remedy"]

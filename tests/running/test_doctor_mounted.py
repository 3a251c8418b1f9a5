"""Packed images on file systems that a network serves."""

from pathlib import Path

import pytest

from lth_ray.running.doctor import mounted
from lth_ray.running.doctor import node as nodes
from lth_ray.running.doctor.finding import NOTE, Failure
from lth_ray.running.doctor.node import Probe

MOUNTS = """\
overlay / overlay rw 0 0
10.0.0.2:/export /shared nfs4 rw,vers=4.2 0 0
/dev/nvme1n1 /shared/local\\040disk ext4 rw 0 0
tmpfs /shared2 tmpfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/shared/imagenet", "nfs4"), ("/shared/local disk/a", "ext4"), ("/shared2/a", "tmpfs"), ("/home/a", "overlay")],
)
def test_the_innermost_mount_counts(path: str, kind: str) -> None:
    assert mounted.file_system(path, MOUNTS) == kind


def test_nodes_that_read_over_a_network_are_told_of_the_cache() -> None:
    answers = {"a": "nfs4", "b": "ext4", "c": Failure("no answer"), "d": "nfs4", "e": ""}
    (finding,) = mounted.served("imagenet", answers)
    assert finding.result == NOTE
    assert finding.nodes == ("a", "d")
    assert "LTH_RAY_SHARD_CACHE=/" in finding.remedy
    assert mounted.served("imagenet", {"a": "ext4"}) == []


def test_a_probe_finds_where_a_packed_set_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = type("Found", (), {"files": type("Files", (), {"uri": str(tmp_path / "set")})})
    monkeypatch.setattr("lth_ray.data.packed.reading.find_packed", lambda name, root: found)
    table = tmp_path / "mounts"
    table.write_text(f"{MOUNTS}server:/x {tmp_path} nfs rw 0 0\n")
    monkeypatch.setattr(nodes, "MOUNTS", table)
    monkeypatch.delenv("LTH_RAY_SHARD_CACHE", raising=False)
    assert Probe().shards("imagenet", None) == "nfs"
    assert Probe().shards("mnist", None) == ""
    monkeypatch.setenv("LTH_RAY_SHARD_CACHE", "/local")
    assert Probe().shards("imagenet", None) == ""

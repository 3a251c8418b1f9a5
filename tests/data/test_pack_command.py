"""`lth-ray data`: packing over Ray, exit codes, and what is said."""

import subprocess
import sys
from pathlib import Path

import pytest

from lth_ray.data.packed.manifest import MANIFEST


def lth_ray(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = "from lth_ray.cli import entry; entry()"
    command = [sys.executable, "-c", code, "data", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_source_that_is_none_is_said_before_ray_starts(tmp_path: Path) -> None:
    found = lth_ray("pack", str(tmp_path), str(tmp_path / "target"))
    assert found.returncode == 2
    assert "nothing to pack" in found.stderr
    found = lth_ray("verify", str(tmp_path / "target"))
    assert found.returncode == 2
    assert "no packed set is there; `lth-ray data pack SOURCE" in found.stderr


@pytest.mark.slow
def test_packing_over_ray(photo_folder, photo, pack, tmp_path: Path) -> None:
    source, target = photo_folder(tmp_path / "source"), tmp_path / "target"
    for i in range(40):  # more than one shard of a megabyte
        (source / "train" / "cat" / f"large_{i:02d}.jpg").write_bytes(photo(100 + i, 900, 1200))
    damaged = source / "train" / "dog" / "2.jpg"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-100])
    command = "pack", str(source), str(target), "--shard-mb", "1", "--cpus", "2", "--short-side", "600"

    found = lth_ray(*command)
    assert found.returncode == 2, found.stderr
    assert "1 of 60 images cannot be read" in found.stderr
    assert "train/dog/2.jpg: is not an image that can be read" in found.stderr
    assert not (target / MANIFEST).exists()

    damaged.write_bytes(whole)
    found = lth_ray(*command)
    assert found.returncode == 0, found.stderr
    assert "54 training and 6 test images of 2 classes in 3 shards" in found.stderr
    pack(source, tmp_path / "straight", short_side=600, shard_bytes=10**6)
    assert content(target) == content(tmp_path / "straight")

    found = lth_ray(*command)
    assert found.returncode == 0
    assert "is packed already" in found.stderr

    assert lth_ray("verify", str(target)).returncode == 0
    shard = target / "train-00001.arrow"
    shard.write_bytes(shard.read_bytes()[:-1])
    found = lth_ray("verify", str(target))
    assert found.returncode == 1
    assert "train-00001.arrow: has" in found.stderr
    assert "2 of 3 shards are whole" in found.stderr

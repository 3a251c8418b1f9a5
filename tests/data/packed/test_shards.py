"""Shards are mapped, not read; each process opens its own."""

import pickle
from pathlib import Path

import numpy as np
import psutil
import pytest

from lth_ray.data import DamagedDataset
from lth_ray.data.packed.manifest import Shard
from lth_ray.data.packed.shards import Shards, encode_shard
from lth_ray.store.local import LocalFiles


def write(folder: Path, number: int, images: list[bytes]) -> Shard:
    data = encode_shard(images, list(range(len(images))), [f"{number}/{i}" for i in range(len(images))])
    name = f"train-{number:05d}.arrow"
    (folder / name).write_bytes(data)
    return Shard(name, len(images), len(data), "0" * 64)


@pytest.fixture
def shards(tmp_path: Path) -> Shards:
    sizes = (3, 0, 2, 1)
    made = [write(tmp_path, k, [b"%d-%d" % (k, i) for i in range(n)]) for k, n in enumerate(sizes)]
    return Shards(LocalFiles(str(tmp_path)), made, None)


def test_rows_by_their_positions(shards: Shards) -> None:
    assert len(shards) == 6
    expected = [(0, 0), (0, 1), (0, 2), (2, 0), (2, 1), (3, 0)]
    for position in (5, 0, 3, 2, 4, 1):
        shard, row = expected[position]
        found = shards.row(position)
        assert (bytes(found.data), found.label) == (b"%d-%d" % (shard, row), row)
        assert found.where.endswith(f"train-{shard:05d}.arrow, row {row}")
        assert shards.name(position) == f"{shard}/{row}"


def test_another_process_opens_its_own(shards: Shards) -> None:
    shards.row(0)
    copied = pickle.loads(pickle.dumps(shards))
    assert not copied._open
    assert bytes(copied.row(4).data) == b"2-1"


def test_open_files_are_bounded(shards: Shards, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lth_ray.data.packed.shards.OPEN_SHARDS", 2)
    held = [shards.row(position) for position in range(6)]
    assert list(shards._open) == [2, 3]
    assert [bytes(row.data) for row in held] == [b"0-0", b"0-1", b"0-2", b"2-0", b"2-1", b"3-0"]


def test_a_shard_is_never_read_whole(tmp_path: Path) -> None:
    size, n = 2**20, 100
    images = [np.random.default_rng(i).bytes(size) for i in range(n)]
    shards = Shards(LocalFiles(str(tmp_path)), [write(tmp_path, 0, images)], None)
    process = psutil.Process()
    shards.row(0)
    before = process.memory_info().rss
    for position in (99, 3, 50):
        assert bytes(shards.row(position).data) == images[position]
    assert process.memory_info().rss - before < 20 * size


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda path: path.unlink(), "is missing, and the manifest names it; complete the copy"),
        (lambda path: path.write_bytes(b"short"), "has 5 bytes, the manifest says"),
        (lambda path: path.write_bytes(b"x" * path.stat().st_size), "is not a shard that can be read"),
    ],
)
def test_a_shard_that_is_not_right_is_named(shards: Shards, tmp_path: Path, damage, why: str) -> None:
    damage(tmp_path / "train-00002.arrow")
    assert shards.row(0).label == 0
    with pytest.raises(DamagedDataset, match=rf"train-00002.arrow: {why}"):
        shards.row(3)

"""The node's own copies of shards: a cap that holds, one copy at a time, nothing unchecked."""

import hashlib
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from lth_ray.config import ConfigError, Data
from lth_ray.data import DamagedDataset, MissingDataset, identify, load, training_batches
from lth_ray.data.packed.manifest import Shard
from lth_ray.data.packed.packing import Options, finish, pack_piece, plan_packing
from lth_ray.data.packed.reading import open_packed
from lth_ray.data.packed.shard_cache import CAP, FOLDER, ShardCache, settle_cache, shard_cache
from lth_ray.data.packed.shards import Shards, encode_shard
from lth_ray.store.local import LocalFiles
from lth_ray.store.uri import open_files

SIZE = 1000


@dataclass
class Far:
    """Files whose reads are counted."""

    root: Path
    read: list[str] = field(default_factory=list)
    uri: str = "far://away"

    def get(self, path: str) -> bytes:
        self.read.append(path)
        return (self.root / path).read_bytes()


@pytest.fixture
def far(tmp_path: Path) -> Far:
    return Far(tmp_path)


def make(root: Path, number: int) -> Shard:
    data = bytes([number]) * SIZE
    name = f"train-{number:05d}.arrow"
    (root / name).write_bytes(data)
    return Shard(name, 1, SIZE, hashlib.sha256(data).hexdigest())


def kept(folder: Path) -> set[int]:
    return {path.read_bytes()[0] for path in folder.glob("*.arrow")}


def test_what_was_not_used_for_longest_goes(far: Far, tmp_path: Path) -> None:
    cache = ShardCache(tmp_path / "cache", 3 * SIZE)
    shards = [make(tmp_path, number) for number in range(5)]
    for number in (0, 1, 2, 0, 3):
        path = cache.path(shards[number], far)  # type: ignore[arg-type]
        assert path.read_bytes() == bytes([number]) * SIZE
        time.sleep(0.01)
    assert kept(cache.folder) == {0, 2, 3}
    assert far.read == [f"train-0000{number}.arrow" for number in (0, 1, 2, 3)]


def test_a_copy_is_checked(far: Far, tmp_path: Path) -> None:
    cache, shard = ShardCache(tmp_path / "cache", 3 * SIZE), make(tmp_path, 1)
    (tmp_path / shard.name).write_bytes(bytes([2]) * SIZE)
    with pytest.raises(DamagedDataset, match=r"far://away/train-00001.arrow: is damaged: its sha256 is not"):
        cache.path(shard, far)  # type: ignore[arg-type]
    assert not list(cache.folder.glob("*.arrow")) + list(cache.folder.glob("*.partial"))


def test_what_a_killed_process_left_takes_no_room(far: Far, tmp_path: Path) -> None:
    cache = ShardCache(tmp_path / "cache", 2 * SIZE)
    cache.folder.mkdir()
    abandoned, going_on = (cache.folder / f"{name * 64}.partial" for name in "ab")
    for path in (abandoned, going_on):
        path.write_bytes(bytes(SIZE))
    with FileLock(going_on.with_suffix(".lock")):
        cache.path(make(tmp_path, 1), far)  # type: ignore[arg-type]
        assert going_on.exists()
    assert not abandoned.exists()


def test_a_shard_larger_than_the_cap_is_refused(far: Far, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"{CAP}: train-00001.arrow alone has 1e-06 GB, .* is 9e-07; raise it"):
        ShardCache(tmp_path / "cache", SIZE - 100).path(make(tmp_path, 1), far)  # type: ignore[arg-type]


PROCESS = """
import sys, time
from pathlib import Path
from lth_ray.data.packed.manifest import Shard
from lth_ray.data.packed.shard_cache import ShardCache
from lth_ray.store.local import LocalFiles
import hashlib
root, cache = Path(sys.argv[1]), ShardCache(Path(sys.argv[1], "cache"), 4000)
shards = [Shard(f"train-{i:05d}.arrow", 1, 1000, hashlib.sha256(bytes([i]) * 1000).hexdigest()) for i in range(12)]
print("ready", flush=True)
sys.stdin.readline()
for i in range(150):
    number = (i * int(sys.argv[2])) % 12
    try:
        found = cache.path(shards[number], LocalFiles(str(root))).read_bytes()
    except FileNotFoundError:  # the other process made room between the two
        continue
    assert found == bytes([number]) * 1000
"""


def test_two_processes_keep_to_the_cap(tmp_path: Path) -> None:
    for number in range(12):
        make(tmp_path, number)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(tmp_path), str(stride)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for stride in (5, 7)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    most = 0
    while any(process.poll() is None for process in processes):
        sizes = []
        for entry in os.scandir(tmp_path / "cache") if (tmp_path / "cache").exists() else ():
            try:
                sizes.append(entry.stat().st_size)
            except FileNotFoundError:
                continue
        most = max(most, sum(sizes))
        time.sleep(0.002)
    assert [process.returncode for process in processes] == [0, 0]
    assert 3000 <= most <= 5000  # while a listing is read one file may have gone and another come
    assert len(list((tmp_path / "cache").glob("*.arrow"))) == 4
    for process in processes:
        process.communicate()


def test_a_shard_that_goes_before_it_is_opened_is_copied_again(far: Far, tmp_path: Path) -> None:
    data = encode_shard([b"image"], [3], ["name"])
    (tmp_path / "train-00000.arrow").write_bytes(data)
    shard = Shard("train-00000.arrow", 1, len(data), hashlib.sha256(data).hexdigest())

    class Hasty(ShardCache):
        def path(self, shard: Shard, files: object) -> Path:
            path = super().path(shard, files)  # type: ignore[arg-type]
            if len(far.read) < 3:
                path.unlink()
            return path

    found = Shards(far, [shard], Hasty(tmp_path / "cache", 10_000)).row(0)  # type: ignore[arg-type]
    assert (bytes(found.data), found.label, len(far.read)) == (b"image", 3, 3)


def test_the_environment_says_where_and_how_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER, raising=False)
    monkeypatch.delenv(CAP, raising=False)
    assert shard_cache(remote=False) is None
    far_away = shard_cache(remote=True)
    assert far_away is not None
    assert far_away.cap == 200_000_000_000
    monkeypatch.setenv(FOLDER, str(tmp_path))
    monkeypatch.setenv(CAP, "1.5")
    assert shard_cache(remote=False) == ShardCache(tmp_path, 1_500_000_000)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(FOLDER, "cache")
    settle_cache()  # as a driver does, whose processes have other working directories
    monkeypatch.chdir("/")
    assert shard_cache(remote=False) == ShardCache(tmp_path / "cache", 1_500_000_000)
    for wrong in ("0", "much", "inf"):
        monkeypatch.setenv(CAP, wrong)
        with pytest.raises(ConfigError, match=f"{CAP} = '{wrong}': give a positive number"):
            shard_cache(remote=True)


def test_a_set_is_read_through_the_cache(photo_folder, pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = pack(photo_folder(tmp_path / "source"), tmp_path / "target")
    monkeypatch.setenv(FOLDER, str(tmp_path / "cache"))
    found = open_packed(str(tmp_path / "target"))
    assert found is not None
    shards = found.split("train", 8).shards
    first = [bytes(shards.row(i).data) for i in range(len(shards))]
    names = {shard.sha256 for shard in manifest.train}
    assert {path.stem for path in (tmp_path / "cache").glob("*.arrow")} == names
    for shard in manifest.train:
        (tmp_path / "target" / shard.name).unlink()
    again = open_packed(str(tmp_path / "target"))
    assert again is not None
    assert [bytes(again.split("train", 8).shards.row(i).data) for i in range(len(shards))] == first
    assert isinstance(found.files, LocalFiles)


def test_a_set_on_s3(s3_bucket: str, photo_folder, pack, tmp_path: Path) -> None:
    """Packed straight into a bucket, and read through a cache nobody asked for."""
    source, uri = photo_folder(tmp_path / "source"), f"{s3_bucket}/sets/small"
    packing, files = plan_packing(source, Options()), open_files(uri)
    finish(packing, {piece.name: pack_piece(piece, files) for piece in packing.pieces}, files, skip_corrupt=False)
    assert sorted(entry.path for entry in files.entries("")) == [
        "manifest.json",
        "test-00000.arrow",
        "train-00000.arrow",
    ]
    far, near = (Data(f"packed:{place}", batch_size=4, validation=0) for place in (uri, tmp_path / "near"))
    pack(source, tmp_path / "near", shard_bytes=128 * 10**6)
    assert identify(far) == identify(near)
    batches = [training_batches(load(config), config, 1, 2).batch(1)[0] for config in (far, near)]
    assert torch.equal(*batches)
    nothing = f"{s3_bucket}/sets/none"
    with pytest.raises(MissingDataset, match=f"packed:{nothing}': no manifest.json in {nothing}; pack"):
        identify(Data(f"packed:{nothing}", batch_size=4, validation=0))

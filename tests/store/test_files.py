"""The few file operations, alike on a local folder and on S3."""

import errno
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lth_ray.store import DamagedFile, MissingFile, StorageError, Store
from lth_ray.store.files import MARKER, TEMPORARY

RACERS = 4
WRITER = """
import sys
from lth_ray.store import Store
Store.open(sys.argv[1], writable=False).put("masks/a", b"new" * 500_000)
"""


def test_put_get_exists_delete(store: Store) -> None:
    assert not store.exists("a/b")
    assert store.list() == {}
    store.put("a/b", b"one")
    store.put("a/b", b"three")
    assert store.exists("a/b")
    assert store.get("a/b") == b"three"
    store.delete("a/b")
    store.delete("a/b")
    assert not store.exists("a/b")
    assert store.list() == {}
    with pytest.raises(MissingFile, match="a/b"):
        store.get("a/b")


def test_list_is_recursive_sorted_and_by_folder(store: Store) -> None:
    for path in ("b/c/two", "b/one", "bb/three", "zero"):
        store.put(path, b"x" * len(path))
    assert list(store.list().items()) == [("b/c/two", 7), ("b/one", 5), ("bb/three", 8), ("zero", 4)]
    assert set(store.list("b")) == set(store.list("b/")) == {"b/c/two", "b/one"}
    assert store.list("nothing") == {}


def test_put_if_absent_keeps_the_first(store: Store) -> None:
    assert store.put_if_absent("a/b", b"first")
    assert not store.put_if_absent("a/b", b"second")
    assert store.get("a/b") == b"first"


def test_of_many_processes_one_publishes(local_store: Store, fork: Callable[..., int]) -> None:
    races = 40

    def race(index: int) -> None:
        local_store.put(f"ready/{index}", b"")
        while len(local_store.list("ready")) < RACERS:
            pass
        won = [local_store.put_if_absent(f"segments/{i}.json", b"%d" % index * 1000) for i in range(races)]
        local_store.put(f"won/{index}", bytes(won))

    with ThreadPoolExecutor(RACERS) as pool:
        assert list(pool.map(lambda index: fork(lambda: race(index)), range(RACERS))) == [0] * RACERS
    for i in range(races):
        winners = [index for index in range(RACERS) if local_store.get(f"won/{index}")[i]]
        assert len(winners) == 1
        assert local_store.get(f"segments/{i}.json") == b"%d" % winners[0] * 1000
    assert local_store.list(TEMPORARY) == {}


def test_of_many_threads_one_publishes(store: Store) -> None:
    with ThreadPoolExecutor(4) as pool:
        for i in range(10):
            won = list(pool.map(lambda text, i=i: store.put_if_absent(f"s/{i}", text), [b"a", b"b", b"c", b"d"]))
            assert won.count(True) == 1
            assert store.get(f"s/{i}") == b"abcd"[won.index(True) :][:1]


def test_quarantine_moves_aside(store: Store) -> None:
    store.put("masks/a", b"x")
    store.quarantine("masks/a")
    store.quarantine("masks/a")
    assert store.list() == {"damaged/masks/a": 1}


def test_a_pickled_store_is_the_same_store(store: Store) -> None:
    store.put("a", b"x")
    copy = pickle.loads(pickle.dumps(store))
    assert copy == store
    assert copy.uri == store.uri
    assert copy.get("a") == b"x"


def test_errors_survive_pickling() -> None:
    for error in (DamagedFile("a/b", "why"), MissingFile("a/b"), StorageError("full")):
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is type(error)
        assert str(copy) == str(error)


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "."])
def test_paths_stay_inside(local_store: Store, path: str) -> None:
    with pytest.raises(StorageError, match="not a path inside the store"):
        local_store.put(path, b"x")


@pytest.mark.parametrize("method", ["put", "put_if_absent"])
def test_a_writer_killed_mid_write_leaves_nothing(local_store: Store, fork: Callable[..., int], method: str) -> None:
    assert fork(lambda: getattr(local_store, method)("masks/a", b"new" * 500_000), kill_at="mid-write:1") == -9
    assert local_store.list() == {}
    assert list(local_store.list(TEMPORARY).values()) == [750_000]  # half, left for collection
    assert local_store.put_if_absent("masks/a", b"whole")


def test_a_writer_killed_mid_write_leaves_the_old_file(local_store: Store) -> None:
    """With a process of its own, so that the probe is read from the environment as everywhere."""
    local_store.put("masks/a", b"old")
    environment = {**os.environ, "LTH_RAY_KILL_AT": "mid-write:1"}
    done = subprocess.run([sys.executable, "-c", WRITER, local_store.uri], env=environment, timeout=60)
    assert done.returncode == -9
    assert local_store.get("masks/a") == b"old"
    assert local_store.list(TEMPORARY)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_clear_error(local_store: Store, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def full(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"masks/a: the disk .*free some space"):
        local_store.put("masks/a", b"x")
    assert local_store.list() == {}
    assert local_store.list(TEMPORARY) == {}


def test_a_really_full_disk(tmp_path: Path) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(tmp_path)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small tmpfs needs root")
    try:
        store = Store.open(str(tmp_path))
        store.put("masks/a", b"old")
        with pytest.raises(StorageError, match="the disk is full"):
            store.put("masks/a", b"x" * 1_000_000)
        assert store.get("masks/a") == b"old"
        assert store.list(TEMPORARY) == {}
        store.put("masks/a", b"new")
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_folders_that_empty_go_too(local_store: Store) -> None:
    local_store.put("checkpoints/key/1", b"x")
    local_store.put("masks/a", b"x")
    local_store.delete("checkpoints/key/1")
    assert {path.name for path in Path(local_store.uri).iterdir()} <= {"masks", TEMPORARY, MARKER}


def test_a_folder_that_the_store_makes_is_its_owner_s_and_one_that_was_there_keeps_its_mode(tmp_path: Path) -> None:
    for name, before, mode in (("new", None, 0o700), ("group", 0o770, 0o770)):
        folder = tmp_path / "deep" / name
        if before is not None:
            folder.mkdir(parents=True)
            folder.chmod(before)
        store = Store.open(str(folder))
        store.put("segments/a/b", b"x")
        assert folder.stat().st_mode & 0o777 == mode
        assert (folder / "segments").stat().st_mode & 0o777 == 0o777 & ~current_umask()


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

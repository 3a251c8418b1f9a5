"""Objects that are too large for one request go to S3 in parts, as whole or absent as any other."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from lth_ray.store import Store


@pytest.fixture
def bucket(s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr("lth_ray.store.s3.PART_BYTES", 5 * 2**20)  # the least that S3 takes
    return Store.open(f"{s3_bucket}/parts")


DATA = bytes(range(256)) * (12 * 2**20 // 256) + b"end"  # three parts


def uploads(store: Store) -> list[Any]:
    files: Any = store.bundled.files
    return list(files._client.list_multipart_uploads(Bucket=files.bucket).get("Uploads", ()))


def test_a_large_object_is_whole(bucket: Store) -> None:
    bucket.put("masks/a", DATA)
    assert bucket.get("masks/a") == DATA
    bucket.quarantine("masks/a")
    assert bucket.get("damaged/masks/a") == DATA
    model = {"w": torch.arange(4 * 2**20, dtype=torch.float32)}
    digest = bucket.save_state("t", 1, model)
    assert torch.equal(bucket.load_state("t", 1, digest).model["w"], model["w"])
    assert uploads(bucket) == []


def test_of_large_objects_the_first_stays(bucket: Store) -> None:
    assert bucket.put_if_absent("masks/b", DATA)
    assert not bucket.put_if_absent("masks/b", DATA[::-1])
    assert bucket.get("masks/b") == DATA
    assert uploads(bucket) == []


def test_a_writer_killed_between_its_parts_and_the_whole_leaves_nothing(
    bucket: Store, fork: Callable[..., int]
) -> None:
    assert fork(lambda: bucket.put("masks/c", DATA), kill_at="mid-write:1") == -9
    assert not bucket.exists("masks/c")
    bucket.put("masks/c", DATA)
    assert bucket.get("masks/c") == DATA

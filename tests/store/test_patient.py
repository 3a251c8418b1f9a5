"""A storage that is away for a while is waited for; one that stays away ends the run, which can go on later."""

import errno
import os
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lth_ray.store import MissingFile, StorageAway, StorageError, Store, patient
from lth_ray.store.files import MARKER
from lth_ray.store.per_storage import PerStorage


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patient, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(patient, "LONGEST_WAIT_S", 0.05)
    monkeypatch.setattr(patient, "OUTAGES", PerStorage(patient.Outage))


@pytest.fixture
def local(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "store"), patience_s=30.0)


OPERATIONS: dict[str, Callable[[Store], Any]] = {
    "put": lambda store: store.put("masks/b", b"new"),
    "put_if_absent": lambda store: store.put_if_absent("masks/c", b"new"),
    "get": lambda store: store.get("masks/a"),
    "exists": lambda store: store.exists("masks/a"),
    "list": lambda store: store.list("masks"),
    "delete": lambda store: store.delete("masks/d"),
    "quarantine": lambda store: store.quarantine("masks/e"),
    "load_mask": lambda store: store.load_mask(store.save_mask({"w": torch.ones(3) == 1}))["w"].tolist(),
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.filterwarnings("ignore:.*is back")
def test_a_folder_that_goes_away_and_comes_back_is_waited_for(local: Store, operation: str) -> None:
    """As an unmounted share: what is asked meanwhile has the same answer, and nothing is written in its place."""
    local.put("masks/a", b"kept")
    root, elsewhere = Path(local.uri), Path(local.uri + "-elsewhere")
    expected = OPERATIONS[operation](Store.open(str(root)))
    local.delete("masks/c")
    root.rename(elsewhere)
    root.mkdir()  # an empty mount point

    def back() -> None:
        assert list(root.iterdir()) == []
        root.rmdir()
        elsewhere.rename(root)

    timer = threading.Timer(0.3, back)
    timer.start()
    began = time.monotonic()
    with pytest.warns(UserWarning, match=r"storage .* is away") as told:
        assert OPERATIONS[operation](local) == expected
    assert time.monotonic() - began > 0.25
    words = [str(one.message) for one in told]
    assert [sum(phrase in text for text in words) for phrase in ("is away", "is back after")] == [1, 1]
    assert f"waiting for it, {30:.0f} s at most" in words[0]


@pytest.mark.parametrize("code", [errno.ESTALE, errno.EIO, errno.ENOTCONN, errno.ETIMEDOUT])
@pytest.mark.filterwarnings("ignore:.*storage")
def test_a_stale_mount_is_waited_for(local: Store, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    failures, real = iter([True] * 3), os.fsync

    def stale(descriptor: int) -> None:
        if next(failures, False):
            raise OSError(code, os.strerror(code))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", stale)
    local.put("masks/a", b"x")
    assert local.get("masks/a") == b"x"
    assert next(failures, None) is None
    assert local.list(".tmp") == {}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_what_waiting_does_not_mend_is_not_waited_for(local: Store, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def fails(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fails)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(StorageError) as refused:
            local.put("masks/a", b"x")
    assert not isinstance(refused.value, StorageAway)
    with pytest.raises(MissingFile):
        local.get("masks/a")


@pytest.mark.filterwarnings("ignore:.*storage")
def test_a_storage_that_stays_away_ends_the_run_once(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "store"), patience_s=0.3)
    Path(store.uri, MARKER).unlink()
    began = time.monotonic()
    with pytest.raises(StorageAway, match="it was waited for, 0 s: run the same command again"):
        store.put("masks/a", b"x")
    first = time.monotonic() - began
    for _ in range(20):  # jobs that are left do not wait anew
        with pytest.raises(StorageAway):
            store.get("masks/a")
    assert 0.3 <= first < 5
    assert time.monotonic() - began < first + 0.3
    Store.open(store.uri)
    store.put("masks/a", b"x")
    assert store.get("masks/a") == b"x"


def test_what_can_do_without_does_not_wait(local: Store) -> None:
    Path(local.uri, MARKER).unlink()
    began = time.monotonic()
    with pytest.raises(StorageAway):
        local.impatient.get("masks/a")
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("status", [500, 503, 429, 0])
@pytest.mark.filterwarnings("ignore:.*storage")
def test_a_server_that_refuses_or_is_down_is_waited_for(
    s3_bucket: str, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """status 0: it cannot be reached at all."""
    from botocore.exceptions import ClientError, EndpointConnectionError

    store = Store.open(f"{s3_bucket}/patient{status}", patience_s=30.0)
    store.put("masks/a", b"kept")
    client = store.bundled.files._client  # type: ignore[attr-defined]
    answers, real = iter([True] * 4), client._make_api_call

    def refuses(name: str, arguments: Any) -> Any:
        if not next(answers, False):
            return real(name, arguments)
        if not status:
            raise EndpointConnectionError(endpoint_url="http://s3")
        told = {"Error": {"Code": str(status)}, "ResponseMetadata": {"HTTPStatusCode": status}}
        raise ClientError(told, name)  # type: ignore[arg-type]

    monkeypatch.setattr(client, "_make_api_call", refuses)
    assert store.get("masks/a") == b"kept"
    assert next(answers, None) is None
    assert store.put_if_absent("masks/b", b"once")
    assert set(store.list()) == {"masks/a", "masks/b"}


def test_wrong_credentials_are_not_waited_for(s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.exceptions import ClientError

    store = Store.open(f"{s3_bucket}/forbidden", patience_s=30.0)
    client = store.bundled.files._client  # type: ignore[attr-defined]

    def refuses(name: str, arguments: Any) -> Any:
        told = {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
        raise ClientError(told, name)  # type: ignore[arg-type]

    monkeypatch.setattr(client, "_make_api_call", refuses)
    with pytest.raises(StorageError, match="check bucket, policy, credentials"):
        store.get("masks/a")

"""Storage URIs: what one may say, and what is refused before any work starts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lth_ray.store import StorageError, Store
from lth_ray.store.uri import open_files


def test_a_local_store_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for uri in ("deep/store", f"file://{tmp_path}/deep/store"):
        store = Store.open(uri)
        assert store.uri == str(tmp_path / "deep" / "store")  # absolute: actors run elsewhere
        assert (tmp_path / "deep" / "store").is_dir()


@pytest.mark.parametrize(
    "uri",
    [
        "s3://AKIAKEY:hush@bucket/prefix",
        "s3://AKIAKEY@bucket/prefix",
        "s3://bucket/prefix?secret_key=hush",
        "s3://bucket/prefix?access_key=AKIAKEY&secret_key=hush&region=x",
        "s3://bucket?session_token=hush",
    ],
)
def test_credentials_in_the_uri_are_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(StorageError, match="give credentials by the environment") as refused:
        open_files(uri)
    assert "hush" not in str(refused.value)
    assert "AKIAKEY" not in str(refused.value)


@pytest.mark.parametrize("uri", ["gs://bucket/x", "abfs://x", "https://host/x", "hdfs://x"])
def test_untested_storage_is_refused(uri: str) -> None:
    with pytest.raises(StorageError, match=f"{uri.split(':')[0]}:// is not supported"):
        open_files(uri)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("s3://b", ("b", "")),
        ("s3://b/p/q/", ("b", "p/q")),
        ("s3://b/p?region=eu-west-1", ("b", "p", None, "eu-west-1")),
        ("s3://b/p?endpoint_override=host:9000&scheme=http", ("b", "p", "http://host:9000")),
        ("s3://b/p?endpoint_override=https://host", ("b", "p", "https://host")),
    ],
)
def test_s3_uris(uri: str, expected: tuple[str | None, ...]) -> None:
    pytest.importorskip("boto3", reason="the s3 extra is not installed")
    from lth_ray.store.s3 import S3Files

    files = open_files(uri)
    assert files == S3Files(*expected)
    assert open_files(files.uri) == files


def test_a_uri_without_a_bucket() -> None:
    with pytest.raises(StorageError, match="names no bucket"):
        open_files("s3:///x")


def test_a_missing_bucket_is_one_clear_error(s3_bucket: str) -> None:
    with pytest.raises(StorageError, match="create the bucket first"):
        Store.open("s3://no-such-bucket/x")


def test_an_unreachable_endpoint_is_one_clear_error(s3_bucket: str) -> None:
    with pytest.raises(StorageError, match="cannot reach s3://b/p/"):
        Store.open("s3://b/p?endpoint_override=127.0.0.1:9&scheme=http")


def test_the_environment_names_the_endpoint(s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", os.environ["AWS_ENDPOINT_URL"])
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    Store.open(f"{s3_bucket}/endpoint")


def test_storage_that_overwrites_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lth_ray.store.local.LocalFiles.put_if_absent", lambda self, path, data: True)
    with pytest.raises(StorageError, match="ignores conditional writes"):
        Store.open(str(tmp_path))


def test_a_path_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="not a folder"):
        Store.open(str(tmp_path / "file" / "store"))


def test_a_read_only_store_can_be_read_but_not_opened_for_writing(tmp_path: Path) -> None:
    target = tmp_path / "store"
    Store.open(str(target)).put("masks/a", b"x")
    if subprocess.run(["mount", "--bind", str(target), str(target)], capture_output=True).returncode:
        pytest.skip("a read-only mount needs root")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(target)], check=True)
        with pytest.raises(StorageError, match="read-only"):
            Store.open(str(target))
        assert Store.open(str(target), writable=False).get("masks/a") == b"x"
    finally:
        subprocess.run(["umount", str(target)], check=True)


def test_boto3_is_needed_for_s3_only_and_the_error_says_how_to_get_it(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['boto3'] = None\n"
        "from lth_ray.store import Store, StorageError\n"
        "Store.open(sys.argv[1])\n"
        "try: Store.open('s3://bucket')\n"
        "except StorageError as error: assert 'lth_ray[s3]' in str(error), error\n"
        "else: raise SystemExit('opened')"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=60)

import subprocess
import sys
from pathlib import Path

import pytest

from lth_ray.record import destination


@pytest.mark.parametrize(
    ("storage", "given", "uri", "artifacts"),
    [
        ("/s", None, "sqlite:////s/mlflow.db", Path("/s/mlruns")),
        ("file:///s", None, "sqlite:////s/mlflow.db", Path("/s/mlruns")),
        ("/s", "http://host:5000", "http://host:5000", None),
        ("s3://bucket/prefix", "http://host:5000", "http://host:5000", None),
    ],
)
def test_the_record_goes_beside_the_storage_unless_a_server_is_given(
    storage: str, given: str | None, uri: str, artifacts: Path | None
) -> None:
    where = destination(storage, given)
    assert (where.uri, where.artifacts) == (uri, artifacts)


def test_a_remote_storage_has_its_record_in_a_local_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert destination("s3://bucket/prefix").uri == f"sqlite:///{tmp_path}/lth_storage/mlflow.db"


@pytest.mark.parametrize(
    ("given", "uri"),
    [
        ("sqlite:///own.db", "sqlite:///{}/own.db"), ("sqlite:////own.db", "sqlite:////own.db"),
        ("mlruns", "{}/mlruns"), ("sqlite:///:memory:", "sqlite:///:memory:"), ("databricks", "databricks"),
    ],
)  # fmt: skip
def test_a_relative_place_is_one_from_here(
    given: str, uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert destination("/s", given).uri == uri.format(tmp_path)


def test_the_environment_stands_behind_the_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://other:5000")
    assert destination("/s").uri == "http://other:5000"
    assert destination("/s", "http://host:5000").uri == "http://host:5000"


def test_importing_the_record_imports_neither_mlflow_nor_matplotlib() -> None:
    heavy = "('mlflow', 'matplotlib', 'pandas', 'scipy', 'ray')"
    code = f"import sys, lth_ray.record; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""No address with a password is taken, and none is repeated."""

from pathlib import Path

import pytest

from lth_ray.config import ConfigError, Launch
from lth_ray.record.mlflow.destination import destination

SECRET = "hunter2"
WITH = [
    f"http://me:{SECRET}@mlflow:5000", f"postgresql+psycopg2://mlflow:{SECRET}@10.0.0.2:5432/mlflow",
    f"http://mlflow:5000/?token={SECRET}", f"mysql://db/mlflow?user=me&PASSWORD={SECRET}",
    f"https://:{SECRET}@mlflow",
]  # fmt: skip
WITHOUT = [
    "http://mlflow:5000", "sqlite:////shared/a:b@c/mlflow.db", "postgresql://mlflow@postgres:5432/mlflow", "mlruns",
    "file:///shared/mlruns", "databricks://profile",
]  # fmt: skip


@pytest.mark.parametrize("uri", WITH)
def test_an_address_with_a_password_is_refused_and_not_repeated(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"--tracking-uri: .* MLFLOW_TRACKING_PASSWORD") as caught:
        Launch("storage", tracking_uri=uri)
    assert SECRET not in str(caught.value)
    with pytest.raises(ConfigError, match="--tracking-uri"):
        destination("storage", uri)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_URI: ") as caught:
        destination("storage")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("uri", WITHOUT)
def test_others_are_taken(uri: str, tmp_path: Path) -> None:
    assert Launch("storage", tracking_uri=uri).tracking_uri == uri
    assert destination(str(tmp_path), uri).uri == (uri if ":" in uri else str(Path(uri).absolute()))

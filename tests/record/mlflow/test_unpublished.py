"""Names that MLflow does not publish are there in this version; without one a warning says what is lost."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lth_ray.record.mlflow import database, unpublished
from lth_ray.unpublished import warn_of


@pytest.fixture(autouse=True)
def not_yet_told() -> Iterator[None]:
    warn_of.cache_clear()
    yield
    warn_of.cache_clear()


def test_this_version_has_them(recwarn: pytest.WarningsRecorder) -> None:
    assert unpublished.latest_schema()
    assert isinstance(unpublished.engines(), dict)
    assert not [one for one in recwarn if "as lth_ray knows it" in str(one.message)]


def test_without_the_schema_a_file_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlite3

    sqlite3.connect(tmp_path / "half.db").close()
    assert database.wrong_with(tmp_path / "half.db") == database.HALF_MADE
    monkeypatch.delattr("mlflow.store.db.utils._get_latest_schema_revision")
    with pytest.warns(UserWarning, match="not made to its end is not known"):
        assert database.wrong_with(tmp_path / "half.db") is None


def test_without_engines_none_is_disposed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("mlflow.store.tracking.sqlalchemy_store.SqlAlchemyStore._engine_map")
    with pytest.warns(UserWarning, match="lth-ray replay"):
        assert unpublished.engines() == {}

"""The names of MLflow that it does not publish and that are used, but for the form of its saved views (cards.py)."""

from typing import Any

from lth_ray.unpublished import asked

NEEDED = {  # name of MLflow: what is lost without it
    "mlflow.store.db.utils._get_latest_schema_revision": "a database file that was not made to its end is not known",
    "mlflow.store.tracking.sqlalchemy_store.SqlAlchemyStore._engine_map": "connections to a database file that was "
    "moved are kept, and what they write is sent again by `lth-ray replay`",
}


def latest_schema() -> str | None:
    """Return the revision of the tables that MLflow would make; None where it does not say."""

    def look() -> str | None:
        from mlflow.store.db.utils import _get_latest_schema_revision

        return str(_get_latest_schema_revision())

    return asked("mlflow.store.db.utils._get_latest_schema_revision", NEEDED, look, None)


def engines() -> dict[str, Any]:
    """Return MLflow's own engines by the URI of their database; an empty dict where it does not give them."""

    def look() -> dict[str, Any]:
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        found: dict[str, Any] = SqlAlchemyStore._engine_map
        return found

    return asked("mlflow.store.tracking.sqlalchemy_store.SqlAlchemyStore._engine_map", NEEDED, look, {})

"""The names of MLflow that it does not publish and that are used, but for the form of its saved views (cards.py).

Where a version of MLflow lacks one, a warning says what is lost by that, once, and the rest works.
"""

import warnings
from functools import cache
from typing import Any

NEEDED = {  # name of MLflow: what is lost without it
    "mlflow.store.db.utils._get_latest_schema_revision": "a database file that was not made to its end is not known",
    "mlflow.store.tracking.sqlalchemy_store.SqlAlchemyStore._engine_map": "connections to a database file that was "
    "moved are kept, and what they write is sent again by `lth-ray replay`",
}


@cache
def warn_of(name: str, why: str) -> None:
    """Say, once a process, that a name is not as it was, and what is lost by that."""
    import mlflow

    text = f"MLflow {mlflow.__version__} has no {name} as lth_ray knows it ({why}): {NEEDED[name]}"
    warnings.warn(text, stacklevel=4)


def latest_schema() -> str | None:
    """Return the revision of the tables that MLflow would make; None where it does not say."""
    try:
        from mlflow.store.db.utils import _get_latest_schema_revision

        return str(_get_latest_schema_revision())
    except (ImportError, AttributeError, TypeError) as error:
        warn_of("mlflow.store.db.utils._get_latest_schema_revision", f"{type(error).__name__}: {error}")
        return None


def engines() -> dict[str, Any]:
    """Return MLflow's own engines by the URI of their database; an empty dict where it does not give them."""
    try:
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        found: dict[str, Any] = SqlAlchemyStore._engine_map
    except (ImportError, AttributeError) as error:
        name = "mlflow.store.tracking.sqlalchemy_store.SqlAlchemyStore._engine_map"
        warn_of(name, f"{type(error).__name__}: {error}")
        return {}
    return found

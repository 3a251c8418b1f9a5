"""MLflow's database file: made whole or not at all, and made anew where it cannot be used.

MLflow itself makes it in place, by some fifty migrations that take it a second or more. What meets a kill, a full disk
or another driver in that second leaves a file that no later run can use, nor MLflow mend.
"""

import fcntl
import os
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from lth_ray.record.mlflow.destination import Destination, prepare_environment
from lth_ray.record.mlflow.unpublished import engines, latest_schema

MAKING_S = 60.0  # that another process may take to make the file
HALF_MADE = "it was not made to its end"


def prepared(where: Destination, warn: Callable[[str], None] | None = None, thorough: bool = False) -> None:
    """Make the database file of a destination where it is missing.

    One that cannot be used is renamed, which `warn` is told, and made anew: what it held is sent again from
    the storage. Of a file that is not the study's own (--tracking-uri) only one without any run is set aside.
    A server is left alone.

    thorough: reads all of it to see whether it is whole.
    """
    path = database_file(where.uri)
    if path is None or (path.exists() and wrong_with(path, thorough) is None):
        return
    prepare_environment()
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path):
        why = wrong_with(path, thorough) if path.exists() else None
        if why is not None and (why == HALF_MADE or where.artifacts is not None):
            aside = _set_aside(path, where.uri)
            tell = warn or (lambda text: warnings.warn(text, stacklevel=4))
            tell(f"{path} cannot be used ({why}): it is {aside.name} now, and a new one is filled from the storage")
        if not path.exists():
            _make(path)


def database_file(uri: str) -> Path | None:
    """Return the file of a SQLite URI, else None."""
    scheme, _, place = uri.partition(":///")
    return Path(place.partition("?")[0]) if scheme.partition("+")[0] == "sqlite" and place else None


def wrong_with(path: Path, thorough: bool = False) -> str | None:
    """Return why a database file cannot be used, None where it can, or where that cannot be said now.

    One that has runs and is of another version of MLflow is whole: that is for `mlflow db upgrade`.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=20.0)) as database:
            tables = {name for (name,) in database.execute("select name from sqlite_master where type = 'table'")}
            if "runs" in tables and database.execute("select 1 from runs limit 1").fetchone():
                found = database.execute("pragma quick_check(1)").fetchone()[0] if thorough else "ok"
                return None if found == "ok" else str(found)
            versions = set(database.execute("select * from alembic_version")) if "alembic_version" in tables else set()
    except sqlite3.OperationalError:  # locked, or the storage is full or cannot be read: MLflow will say so
        return None
    except sqlite3.DatabaseError as error:
        return str(error)
    latest = latest_schema()
    return None if latest is None or versions == {(latest,)} else HALF_MADE


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let in one process at a time, on all hosts that see the folder, by a lock that goes with its process."""
    with open(path.with_name(f"{path.name}.lock"), "w") as lock:
        deadline = time.monotonic() + MAKING_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"another process has been making {path} for {MAKING_S:.0f} s") from None
                time.sleep(0.1)
            except OSError:  # a file system without locks
                break
        yield


def _make(path: Path) -> None:
    """Make a whole one under another name, then move it to its own."""
    from mlflow.tracking import MlflowClient

    making = path.with_name(f"{path.name}.making")
    uri = f"sqlite:///{making}"
    _remove(making)  # a maker that was killed left it
    try:
        try:
            MlflowClient(tracking_uri=uri).search_experiments(max_results=1)
        finally:  # else MLflow's connections would go on with the removed file the next time
            engine = engines().pop(uri, None)
            if engine is not None:
                engine.dispose()
        with suppress(FileExistsError):  # made by somebody who knows of no lock, such as `mlflow ui`
            os.link(making, path)
    finally:
        _remove(making)


def _set_aside(path: Path, uri: str) -> Path:
    if uri in engines():  # its connections would go on with the file under its new name
        engines()[uri].dispose()
    aside = path.with_name(f"{path.name}.unusable-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}")
    for suffix in ("-journal", "-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            os.rename(f"{path}{suffix}", f"{aside}{suffix}")
    return aside


def _remove(path: Path) -> None:
    for suffix in ("-journal", "-wal", "-shm", ""):
        Path(f"{path}{suffix}").unlink(missing_ok=True)

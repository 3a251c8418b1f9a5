"""MLflow's database file is made whole or not at all, and one that cannot be used is made anew from the storage."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lth_ray.lottery import Plan
from lth_ray.record import Shipper, destination, replay
from lth_ray.record.mlflow import database as making
from lth_ray.record.mlflow.database import HALF_MADE, prepared, wrong_with
from lth_ray.record.mlflow.destination import Destination
from lth_ray.store import Store


def altered(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def overwritten(path: Path, first: int, count: int = 4096) -> None:
    data = bytearray(path.read_bytes())
    data[first : first + count] = b"\x5a" * len(data[first : first + count])
    path.write_bytes(bytes(data))


# What a kill leaves of a file that MLflow makes in place, and other ends; with what is said of it.
DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "nothing yet": (lambda path: path.write_bytes(b""), HALF_MADE),
    "tables without a version": (lambda path: altered(path, "delete from alembic_version"), HALF_MADE),
    "between two migrations": (
        lambda path: altered(path, "update alembic_version set version_num = '7f2a7d5fae7d'"), HALF_MADE,
    ),
    "before the last tables": (lambda path: altered(path, "drop table alembic_version", "drop table runs"), HALF_MADE),
    "no database": (lambda path: overwritten(path, 0), "file is not a database"),
    "truncated": (lambda path: os.truncate(path, 8192), "malformed"),
}  # fmt: skip


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, empty_database: Path) -> list[Path]:
    """Databases are copied instead of made; what was asked for."""
    made: list[Path] = []

    def copy(path: Path) -> None:
        shutil.copy(empty_database, path)
        made.append(path)

    monkeypatch.setattr(making, "_make", copy)
    return made


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_cannot_be_used_is_made_anew_and_filled(
    damage: str, plan: Plan, recorded_store: Store, fill: Any, database: Any, quick: list[Path]
) -> None:
    path, (alter, why) = Path(recorded_store.uri, "mlflow.db"), DAMAGES[damage]
    alter(path)
    broken = path.read_bytes()
    assert why in (wrong_with(path) or "")
    fill(recorded_store, plan, rounds=[0], branches=False)
    with pytest.warns(UserWarning, match=rf"mlflow\.db cannot be used \(.*{why}.*\): it is mlflow\.db\.unusable-"):
        assert replay(plan, recorded_store) == {"shipped": 2, "present": 0, "failed": 0}
    assert quick == [path]
    assert [len(database.runs(kind)) for kind in ("lineage", "ticket", "branch")] == [2, 2, 0]
    (aside,) = (one for one in path.parent.glob("mlflow.db.unusable-*"))
    assert aside.read_bytes() == broken


def test_a_run_fills_it_too_and_says_so(
    plan: Plan, recorded_store: Store, fill: Any, database: Any, quick: Any
) -> None:
    DAMAGES["between two migrations"][0](Path(recorded_store.uri, "mlflow.db"))
    fill(recorded_store, plan, rounds=[0], branches=False)
    told: list[str] = []
    counts = Shipper(plan, recorded_store, warn=told.append).close(60)
    assert counts == {"shipped": 2, "present": 0, "left": 0}
    assert ["cannot be used" in text for text in told] == [True]


def test_a_replay_reads_all_of_it(plan: Plan, recorded_store: Store, fill: Any, database: Any, quick: Any) -> None:
    """Damage in the middle of a file that has runs, which opening it does not meet."""
    fill(recorded_store, plan, rounds=[0], branches=False)
    replay(plan, recorded_store)
    path = Path(recorded_store.uri, "mlflow.db")
    with closing(sqlite3.connect(path)) as connection:
        query = "select rootpage from sqlite_master where name = 'metrics'"
        page, size = connection.execute(query).fetchone()[0], connection.execute("pragma page_size").fetchone()[0]
    overwritten(path, (page - 1) * size, size)
    assert wrong_with(path) is None
    with pytest.warns(UserWarning, match="cannot be used"):
        assert replay(plan, recorded_store) == {"shipped": 2, "present": 0, "failed": 0}
    assert len(database.runs("ticket")) == 2


def test_a_file_with_runs_of_another_version_stays(
    plan: Plan, recorded_store: Store, fill: Any, database: Any, quick: list[Path]
) -> None:
    """MLflow itself says what to do with it; nothing that somebody has recorded is set aside for that."""
    fill(recorded_store, plan, rounds=[0], branches=False)
    replay(plan, recorded_store)
    path = Path(recorded_store.uri, "mlflow.db")
    altered(path, "update alembic_version set version_num = '7f2a7d5fae7d'")
    prepared(destination(recorded_store.uri))
    assert not list(path.parent.glob("*.unusable-*"))
    assert quick == []


def test_another_s_broken_file_is_left_alone(tmp_path: Path, quick: list[Path]) -> None:
    path = tmp_path / "theirs.db"
    path.write_bytes(b"a letter, and no database" * 1000)
    prepared(Destination(f"sqlite:///{path}"))
    assert path.exists()
    assert quick == []


def test_it_is_made_once_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By three at once, beside what a maker that was killed has left; no other name stays."""
    (tmp_path / "mlflow.db.making").write_bytes(b"half")
    where, made, make = Destination(f"sqlite:///{tmp_path}/mlflow.db", tmp_path), [], making._make

    def counted(path: Path) -> None:
        assert not path.exists()
        made.append(path)
        make(path)

    monkeypatch.setattr(making, "_make", counted)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: prepared(where), range(3)))
    assert made == [tmp_path / "mlflow.db"]
    assert wrong_with(made[0], thorough=True) is None
    assert {path.name for path in tmp_path.iterdir()} == {"mlflow.db", "mlflow.db.lock"}
    client = pytest.importorskip("mlflow.tracking").MlflowClient(tracking_uri=where.uri)
    assert [experiment.name for experiment in client.search_experiments()] == ["Default"]


def test_a_full_disk_leaves_no_half_of_it(tmp_path: Path, empty_database: Path) -> None:
    """And once there is room again the same storage has its record."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs needs root")
    try:
        where = Destination(f"sqlite:///{tmp_path}/mlflow.db", tmp_path)
        with pytest.raises(Exception, match=r"full|I/O"):
            prepared(where)
        assert {path.name for path in tmp_path.iterdir()} == {"mlflow.db.lock"}
        subprocess.run(["mount", "-o", "remount,size=64m", str(tmp_path)], check=True)
        prepared(where)
        assert wrong_with(tmp_path / "mlflow.db", thorough=True) is None
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


MAKER = """
import sys
from pathlib import Path
from lth_ray.record.mlflow.database import prepared
from lth_ray.record.mlflow.destination import Destination
prepared(Destination(sys.argv[1], Path(".")))
from mlflow.tracking import MlflowClient
assert MlflowClient(tracking_uri=sys.argv[1]).get_experiment_by_name("Default") is not None
"""


@pytest.mark.slow
def test_a_kill_at_any_moment_and_drivers_that_start_together(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    command = [sys.executable, "-c", MAKER, f"sqlite:///{path}"]
    for number in range(8):
        process = subprocess.Popen(command)
        half = tmp_path / "mlflow.db.making"
        deadline = time.monotonic() + 60
        while not half.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(0.15 * number)
        process.send_signal(signal.SIGKILL)
        process.wait()
        together = [subprocess.Popen(command) for _ in range(3)] if number == 7 else [subprocess.Popen(command)]
        assert [process.wait(120) for process in together] == [0] * len(together)
        assert wrong_with(path, thorough=True) is None
        path.unlink()
    assert not list(tmp_path.glob("*.unusable-*"))

"""A planned study, and a store with the records that training it would leave: nothing is trained here."""

import hashlib
import math
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from lth_ray.config import Data, Model, Prune, RandomMask, RandomReinit, Study, Train, steps
from lth_ray.lottery import Plan, make_plan
from lth_ray.lottery.derivation import Segment
from lth_ray.lottery.kept.records import SegmentRecord
from lth_ray.record.mlflow import saved_views
from lth_ray.store import Store

ENVIRONMENT = {
    "device": "a processor", "instruction_set": "AVX2", "threads": 1, "world_size": 1, "python": "3.11",
    "platform": "linux", "packages": {"torch": "2.14.1", "lth_ray": "0.1.0"},
}  # fmt: skip
LAYERS = ("fc1.weight", "fc2.weight", "output.weight")


@pytest.fixture(autouse=True)
def no_tracking_uri(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(autouse=True)
def views_of_this_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Views are written whatever MLflow is installed: what its pages make of them, tests/browser sees."""
    monkeypatch.setattr(saved_views, "VERSIONS", f"=={version('mlflow')}")


@pytest.fixture(scope="session")
def make_study() -> Callable[..., Study]:
    def make(**fields: Any) -> Study:
        given = {
            "model": Model("lenet_300_100"),
            "data": Data("digits", batch_size=60, validation=200),
            "train": Train(steps(300), optimizer="adam", lr=1.2e-3, evaluate_every=steps(30)),
            "prune": Prune("magnitude", scope="layer", fraction={"fc*": 0.2, "output.weight": 0.1}, rounds=3),
            "rewind": [steps(0)],
            "seeds": [0, 1],
            "branches": [RandomReinit(copies=2), RandomMask(rounds=[3])],
        }
        return Study("tickets", **{**given, **fields})

    return make


@pytest.fixture(scope="session")
def plan(make_study: Callable[..., Study]) -> Plan:
    return make_plan(make_study())


@pytest.fixture
def store(tmp_path: Any) -> Store:
    return Store.open(str(tmp_path / "storage"))


def fake_record(segment: Segment, density: float, penalty: float = 0.0, **changes: Any) -> SegmentRecord:
    """A record with the form of lth_ray.lottery.execution.publish's, and curves that look like training."""
    noise = random.Random(segment.key)
    steps_ = segment.recipe.evaluation_steps(segment.first, segment.last)
    best = 0.975 - 0.02 * (1 - density) ** 8 - penalty
    accuracy = [best - 0.4 * math.exp(-step / 60) + noise.gauss(0, 0.002) for step in steps_]
    loss = [0.1 + math.exp(-step / 60) + 0.0004 * step for step in steps_]
    journal = {
        "step": steps_, "epoch": [step / 19 for step in steps_], "lr": [segment.recipe.train.lr] * len(steps_),
        "train_loss": loss, "validation_loss": loss, "validation_accuracy": accuracy,
        "test_loss": loss, "test_accuracy": accuracy,
    }  # fmt: skip
    has_mask = segment.mask is not None
    record: dict[str, Any] = {
        "key": segment.key, "trajectory": segment.trajectory, "meaning": segment.meaning, "first": segment.first,
        "last": segment.last, "backend": "eager-fp32", "mask": "0" * 64 if has_mask else None,
        "remaining_weights": density, "layer_densities": dict.fromkeys(LAYERS, density) if has_mask else {},
        "content": hashlib.sha256(segment.key.encode()).hexdigest(), "states": [segment.last], "journal": journal,
        "diverged_at": None, "train_steps": segment.num_steps, "started_at": "2026-01-02T03:04:05.678901+00:00",
        "seconds": 1.25, "environment": ENVIRONMENT, **changes,
    }  # fmt: skip
    return SegmentRecord(**record)


def fill(store: Store, plan: Plan, rounds: Iterable[int] = range(100), branches: bool = True, **changes: Any) -> None:
    """Publishes the records of a plan's tickets of `rounds` and of their branches."""
    rounds = set(rounds)
    for lineage in plan.lineages:
        for r in lineage.rounds:
            if r.number in rounds:
                store.publish_segment(r.segment.key, fake_record(r.segment, 0.8**r.number, **changes).to_json())
    for result in plan.branches if branches else ():
        if result.round in rounds:
            record = fake_record(result.segment, 0.8**result.round, 0.01 * result.round, **changes)
            store.publish_segment(result.segment.key, record.to_json())


@pytest.fixture(name="fill", scope="session")
def fill_fixture() -> Callable[..., None]:
    return fill


@pytest.fixture(name="fake_record", scope="session")
def fake_record_fixture() -> Callable[..., SegmentRecord]:
    return fake_record


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as MLflow makes it, which takes it three seconds."""
    from lth_ray.record.mlflow.destination import prepare_environment

    prepare_environment()
    from mlflow.tracking import MlflowClient

    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def recorded_store(store: Store, tmp_path: Path, empty_database: Path) -> Store:
    """A store beside which an empty MLflow database lies."""
    shutil.copy(empty_database, tmp_path / "storage" / "mlflow.db")
    return store


class Database:
    """A database as MLflow's own client reads it back."""

    def __init__(self, path: Path) -> None:
        from mlflow.tracking import MlflowClient

        self.path, self.client = path, MlflowClient(f"sqlite:///{path}")

    def runs(self, kind: str | None = None, study: str = "tickets") -> list[Any]:
        experiment = self.client.get_experiment_by_name(study)
        found = self.client.search_runs([experiment.experiment_id], f"tags.`lth.kind` = '{kind}'" if kind else "")
        return sorted(found, key=lambda run: run.info.run_name)

    def points(self) -> int:
        """Rows of metrics, each of which is one (run, name, step, timestamp, value)."""
        with sqlite3.connect(self.path) as connection:
            return int(connection.execute("select count(*) from metrics").fetchone()[0])


@pytest.fixture
def database(recorded_store: Store, tmp_path: Path) -> Database:
    return Database(tmp_path / "storage" / "mlflow.db")

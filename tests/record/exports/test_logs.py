"""A study's curves for TensorBoard and Weights & Biases, from records alone."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lth_ray.config import ConfigError
from lth_ray.lottery import Plan, branch_rows, ticket_rows
from lth_ray.lottery.kept.stored import finished_segment
from lth_ray.record.exports.logs import Logged, logged
from lth_ray.record.exports.writing import write_logs
from lth_ray.store import Store

Fill = Callable[..., None]


@pytest.fixture
def filled(plan: Plan, store: Store, fill: Fill) -> Store:
    fill(store, plan)
    return store


def journal(store: Store, key: str) -> dict[str, list[Any]]:
    record = finished_segment(store, key)
    assert record is not None
    return record.journal


def test_every_training_is_a_run_with_its_curve(plan: Plan, filled: Store) -> None:
    runs = {run.name: run for run in logged(plan, filled)}
    tickets, branches = ticket_rows(plan, filled), branch_rows(plan, filled)
    assert len(runs) == len(plan.lineages) + len(tickets) + len(branches)
    for row in tickets:
        run, curve = runs[f"{row['lineage']}/r{row['round']}"], journal(filled, row["key"])
        assert list(run.points) == curve["step"]
        assert [point["test_accuracy"] for point in run.points.values()] == curve["test_accuracy"]
        assert run.summary["test_accuracy"] == row["test_accuracy"]
        assert (run.group, run.config["round"], run.config["key"]) == (row["lineage"], row["round"], row["key"])
    branch = runs["k0/seed1/r2/random_reinit-1"]
    assert (branch.config["branch"], branch.config["index"]) == ("random_reinit", 1)
    lineage = runs["k0/seed0"].points
    assert [lineage[row["round"]]["test_accuracy"] for row in tickets if row["seed"] == 0] == [
        row["test_accuracy"] for row in tickets if row["seed"] == 0
    ]
    assert json.dumps([vars(run) for run in runs.values()])  # plain values alone


def test_tensorboard_reads_what_was_recorded(plan: Plan, filled: Store, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="it is in the extra `tensorboard`")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    count = write_logs(plan, filled, "tensorboard", tmp_path)
    row = next(row for row in ticket_rows(plan, filled) if row["round"] == 3)
    folder = tmp_path / "tickets" / row["lineage"] / "r3"
    events = EventAccumulator(str(folder)).Reload()
    curve = journal(filled, row["key"])
    scalars = events.Scalars("test_accuracy")
    assert [event.step for event in scalars] == curve["step"]
    assert [event.value for event in scalars] == pytest.approx(curve["test_accuracy"])
    assert len([path for path in (tmp_path / "tickets").rglob("*") if path.is_file()]) >= count
    with pytest.raises(ConfigError, match="is not empty"):
        write_logs(plan, filled, "tensorboard", tmp_path)


def test_a_package_that_is_missing_is_named(
    plan: Plan, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ConfigError, match=r'pip install "lth_ray\[wandb\]"'):
        write_logs(plan, store, "wandb", tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / "storage"] or not list(tmp_path.iterdir())


def test_wandb_runs_are_offline_and_grouped_by_lineage(
    plan: Plan, filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library is handed each run, offline and grouped; its own files are its affair."""
    said: list[Any] = []

    class Run:
        def __init__(self, **given: Any) -> None:
            said.append(given)
            self.summary: dict[str, float] = {}

        def log(self, values: dict[str, float], step: int) -> None:
            said.append((step, values))

        def finish(self) -> None:
            said.append(self.summary)

    monkeypatch.setitem(sys.modules, "wandb", type("wandb", (), {"init": Run, "Settings": dict}))
    count = write_logs(plan, filled, "wandb", tmp_path / "runs")
    begun = [one for one in said if isinstance(one, dict) and "mode" in one]
    assert {one["mode"] for one in begun} == {"offline"}
    assert (len(begun), {one["project"] for one in begun}) == (count, {"tickets"})
    expected = [(step, values) for run in logged(plan, filled) for step, values in run.points.items()]
    assert [one for one in said if isinstance(one, tuple)] == expected
    assert isinstance(next(logged(plan, filled)), Logged)

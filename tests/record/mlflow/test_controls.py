"""Controls beside tickets in a lineage's run, and what MLflow's columns "Source" and "Created by" are told."""

import getpass
from collections.abc import Callable
from statistics import mean
from typing import Any

import pytest

from lth_ray.lottery import Plan, branch_rows
from lth_ray.record import replay
from lth_ray.record.mlflow.provenance import made_by
from lth_ray.store import Store


def test_a_lineages_run_has_its_controls_by_round(
    plan: Plan, recorded_store: Store, fill: Callable[..., None], database: Any
) -> None:
    fill(recorded_store, plan)
    replay(plan, recorded_store, commit="1a2b")
    run = database.runs("lineage")[0]
    name = run.data.tags["lth.lineage"]
    rows = [row for row in branch_rows(plan, recorded_store) if row["lineage"] == name]
    for branch, rounds, copies in (("random_reinit", [1, 2, 3], 2), ("random_mask", [3], 1)):
        found = database.client.get_metric_history(run.info.run_id, f"test_accuracy.{branch}")
        own = [row for row in rows if row["branch"] == branch]
        expected = {n: [row["test_accuracy"] for row in own if row["round"] == n] for n in rounds}
        assert {len(values) for values in expected.values()} == {copies}
        means = {n: pytest.approx(mean(values)) for n, values in expected.items()}
        assert {metric.step: metric.value for metric in found} == means
    points = database.points()
    replay(plan, recorded_store, commit="")
    assert database.points() == points
    assert run.data.tags["mlflow.user"] == getpass.getuser()
    assert run.data.tags.get("mlflow.source.name") == made_by().get("mlflow.source.name")  # no script, no source
    tags = database.client.get_experiment_by_name("tickets").tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    commits = [tags["mlflow.source.git.commit"], run.data.tags["mlflow.source.git.commit"]]
    assert commits == ["1a2b", "1a2b"]  # of who declared it, not of what replays it

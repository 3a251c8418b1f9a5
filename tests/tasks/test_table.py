"""Regression on a table: what is read and refused, R² and the error by hand, and a whole study of tickets."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from sklearn.datasets import load_diabetes
from torch import nn

from lth_ray.config import Barrier, ConfigError, Model, Prune, RandomReinit, Study, Table, Train, set_fields, steps
from lth_ray.lottery import make_plan
from lth_ray.store import Store
from lth_ray.tasks import task_of
from lth_ray.training import evaluate
from tests.carried_out import rows_of

DIABETES = Table("diabetes", batch_size=32, validation=60, test=60)
STUDY = Study(
    "diabetes",
    model=Model("lenet_20_10"),
    data=DIABETES,
    train=Train(steps(60), optimizer="adam", lr=5e-3, evaluate_every=steps(20)),
    prune=Prune(scope="layer", fraction=0.5, rounds=2),
    rewind=[steps(0)],
    seeds=[0],
)


def rows() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    features = generator.normal(size=(50, 3))
    return features, features @ np.array([1.0, -2.0, 0.5])


def test_the_diabetes_set_is_split_once_and_standardised_by_its_training_rows() -> None:
    task = task_of(DIABETES)
    identity, loaded = task.identify(), task.load()
    assert (identity.n_train, identity.n_validation, identity.n_test) == (322, 60, 60)
    assert (identity.input_shape, identity.num_classes) == ((10,), 1)
    parts = [loaded.train, loaded.validation, loaded.test]
    assert torch.cat([loaded.train.inputs, loaded.train.targets[:, None]], 1).mean(0).abs().max() < 1e-6
    assert loaded.train.inputs.std(0, correction=0) == pytest.approx(torch.ones(10))
    # every row is in one part: undone, the targets are those of the set
    targets = load_diabetes(as_frame=True).frame["target"]
    found = np.sort(torch.cat([part.targets for part in parts]).numpy())
    wanted = np.sort(targets.to_numpy())
    scale = (wanted[-1] - wanted[0]) / (found[-1] - found[0])
    assert (found - found[0]) * scale + wanted[0] == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize(("score", "batches"), [("r2", 1), ("r2", 7), ("rmse", 3)])
def test_the_metric_by_hand(score: str, batches: int) -> None:
    table = Table(rows, batch_size=8, validation=10, test=20, score=score)
    task = task_of(table)
    test, network = task.load().test, nn.Linear(3, 1)
    with torch.no_grad():
        predicted = network(test.inputs).squeeze(1).double().numpy()
    wanted = test.targets.double().numpy()
    squares = ((predicted - wanted) ** 2).sum()
    spread = ((wanted - wanted.mean()) ** 2).sum()
    cut = list(zip(test.inputs.chunk(batches), test.targets.chunk(batches), strict=True))
    measured = evaluate(network, cut, task, Train(steps(1), lr=0.1))
    assert measured.n == 20
    assert measured.loss == pytest.approx(squares / 20, rel=1e-6)
    assert measured.value == pytest.approx(1 - squares / spread if score == "r2" else (squares / 20) ** 0.5, rel=1e-6)


def test_batches_are_a_function_of_the_step_and_workers_share_them() -> None:
    task = task_of(Table(rows, batch_size=8, validation=10, test=20))
    loaded = task.load()
    whole = task.stream(loaded, 5, 0)
    assert whole.steps_per_epoch == 2
    later = [whole.batch(step)[0] for step in range(5)]
    assert torch.equal(whole.batch(3)[0], later[3])
    parts = [task.stream(loaded, 5, 0, part).batch(4)[0] for part in (range(4), range(4, 8))]
    assert torch.equal(torch.cat(parts), later[4])
    assert len(torch.cat(later[:2]).unique(dim=0)) == 16  # no row twice in an epoch


def test_a_study_of_tickets_that_are_no_images(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    study = set_fields(STUDY, {"branches": [RandomReinit(), Barrier(points=5, rounds=[1])]})
    tickets, branches = rows_of(study, store)
    assert [row["round"] for row in tickets] == [0, 1, 2]
    assert all("test_accuracy" not in row for row in (*tickets, *branches))
    for row in tickets:
        assert row["test_error"] == pytest.approx(1 - row["test_r2"])
        assert row["test_r2_at_early_stop"] > 0.2  # the best of the linear models reaches .45 to .5
    assert [row["remaining_weights"] for row in tickets] == pytest.approx([1, 0.5, 0.25], abs=0.01)
    barriers = [row for row in branches if row["branch"] == "barrier"]
    assert len(barriers) == 1
    assert barriers[0]["lmc_error_barrier"] >= 0
    assert store.segment(tickets[0]["key"])["metric"]["name"] == "r2"  # type: ignore[index]


def test_resume_is_bitwise(tmp_path: Path) -> None:
    whole, cut = Store.open(str(tmp_path / "whole")), Store.open(str(tmp_path / "cut"))
    tickets, _ = rows_of(STUDY, whole)
    rows_of(set_fields(STUDY, {"prune.rounds": 1}), cut)
    assert [row["content"] for row in rows_of(STUDY, cut)[0]] == [row["content"] for row in tickets]


@pytest.mark.parametrize("score", ["r2", "rmse"])
def test_stop_below_goes_the_metrics_way(tmp_path: Path, score: str) -> None:
    bound = 0.99 if score == "r2" else 0.01  # nothing is so good
    study = set_fields(STUDY, {"data.score": score, "stop_below": bound})
    lineage = make_plan(study).lineages[0]
    assert lineage.stop_rule(0) is None
    assert lineage.stop_rule(1).reason(0.5) is not None
    assert lineage.stop_rule(1).reason(0.995 if score == "r2" else 0.005) is None


def test_what_is_in_the_table_is_in_the_key_and_not_its_place(tmp_path: Path) -> None:
    features, targets = rows()
    frame = pandas.DataFrame({"a": features[:, 0], "b": features[:, 1], "c": features[:, 2], "y": targets})
    frame.to_csv(tmp_path / "one.csv", index=False)
    frame.to_parquet(tmp_path / "two.parquet")
    named = [Table(name, batch_size=8, validation=0, test=20) for name in ("csv:one.csv", "parquet:two.parquet")]
    digests = {task_of(table).identify(tmp_path).digest for table in named}
    assert digests == {task_of(Table(rows, batch_size=8, validation=0, test=20)).identify().digest}
    other = task_of(Table(lambda: (features, targets + 1), batch_size=8, validation=0, test=20)).identify().digest
    assert other not in digests


BAD: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no such table": ("iris", {}, "Table.name = 'iris': no such table"),
    "no file": ("csv:nowhere.csv", {}, "there is no file"),
    "no such column": ("diabetes", {"target": "targt"}, "Table.target = 'targt': no such column; did you mean target"),
    "all held out": ("diabetes", {"validation": 440}, "there are 442 rows in all; hold out fewer"),
    "words": (lambda: pandas.DataFrame({"a": ["x", "y", "z"], "y": [1, 2, 3]}), {}, "column 'a' holds (object|str)"),
    "missing": (lambda: pandas.DataFrame({"a": [1, None, 3], "y": [1, 2, 3]}), {}, "1 values that are missing"),
    "shapes": (lambda: (np.zeros((3, 2)), np.zeros(4)), {}, r"arrays of shapes \(3, 2\) and \(4,\)"),
}


@pytest.mark.parametrize(("name", "fields", "message"), BAD.values(), ids=BAD)
def test_a_bad_table_is_one_clear_error(name: Any, fields: dict[str, Any], message: str) -> None:
    table = Table(name, **{"batch_size": 1, "validation": 0, "test": 2, **fields})
    with pytest.raises(ConfigError, match=message):
        task_of(table).identify()


def test_a_network_of_two_outputs_is_refused() -> None:
    task = task_of(DIABETES)
    with pytest.raises(ConfigError, match="one number a row"):
        evaluate(nn.Linear(10, 2), task.examples(task.load(), task.load().test), task, Train(steps(1), lr=0.1))


@pytest.mark.parametrize("score", ["r2", "rmse"])
def test_a_loss_of_ones_own_is_measured_and_leaves_the_metric_alone(score: str) -> None:
    def absolute(model: nn.Module, batch: Any) -> Any:
        return (model(batch[0]).squeeze(1) - batch[1]).abs().mean(), {}

    task = task_of(set_fields(STUDY, {"data.score": score}).data)
    test, network = task.load().test, nn.Linear(10, 1)
    with torch.no_grad():
        wanted = (network(test.inputs).squeeze(1) - test.targets).abs().mean().item()
    plain, own = (
        evaluate(network, task.examples(task.load(), test), task, Train(steps(1), lr=0.1, loss=loss))
        for loss in (None, absolute)
    )
    assert own.loss == pytest.approx(wanted)
    assert own.value == plain.value

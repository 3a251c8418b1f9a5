"""A loss that becomes NaN, and an accuracy under stop_below: recorded results that end their lineage."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from lth_ray.config import RandomReinit, Rewind, steps

HUGE = {"train.optimizer": "sgd", "train.lr": 1e20}


def nan_when(broken: Callable[[torch.nn.Module], bool]) -> Callable[..., Any]:
    def loss(model: torch.nn.Module, batch: Any) -> Any:
        inputs, labels = batch
        value = F.cross_entropy(model(inputs), labels)
        return (value * float("nan") if model.training and broken(model) else value), {}

    return loss


def is_pruned(model: torch.nn.Module) -> bool:
    return bool((model.get_parameter("fc1.weight") == 0).any())


def test_a_dense_run_that_diverges_ends_every_lineage_and_is_not_trained_again(lab: Any) -> None:
    study = lab.study(HUGE, rewind=[steps(0), steps(20)], branches=[RandomReinit()])
    ran = lab.run(study)
    assert ran.steps == 10  # up to the next measurement
    row, other = ran.tickets
    assert row["content"] == other["content"]
    assert row["diverged_at"] == 10
    assert row["test_accuracy"] is row["early_stop_step"] is row["test_error"] is None
    assert any("diverged by step 10" in reason for reason in ran.failures.values())
    again = lab.run(study)
    assert (again.steps, again.plan.jobs, len(again.tickets)) == (0, (), 2)
    assert again.plan.unique_steps == 40


@pytest.mark.parametrize("method", ["weights", "learning_rate", "fine_tune", "continue"])
def test_a_round_that_diverges_is_the_last(lab: Any, method: str) -> None:
    study = lab.study(
        {"train.loss": nan_when(is_pruned), "prune.rounds": 3}, rewind=[Rewind(steps(10), method=method)],
        branches=[RandomReinit()],
    )  # fmt: skip
    ran = lab.run(study)
    assert [row["round"] for row in ran.tickets] == [0, 1]
    assert ran.tickets[0]["diverged_at"] is None
    assert ran.tickets[1]["diverged_at"] is not None
    assert [row["round"] for row in ran.branches] == [1]
    again = lab.run(study)
    assert (again.steps, again.plan.jobs, again.contents) == (0, (), ran.contents)


def test_other_lineages_go_on(lab: Any) -> None:
    study = lab.study({"prune.rounds": 1}, arms={"calm": {}, "wild": HUGE}, seeds=[0, 1])
    ran = lab.run(study)
    assert ran.steps == 2 * (80 + 10)
    assert [row["round"] for row in ran.tickets if row["arm"] == "calm"] == [0, 1, 0, 1]
    assert lab.run(study).steps == 0


def test_where_it_diverged_does_not_depend_on_checkpoints(lab: Any) -> None:
    study = lab.study(HUGE)
    assert lab.run(study, every_s=0).tickets[0]["diverged_at"] == lab.whole(study).tickets[0]["diverged_at"]


def test_stop_below_ends_a_lineage_after_the_round_under_it(lab: Any) -> None:
    def study(below: float | None, rounds: int = 3) -> Any:
        return lab.study({"prune.fraction": 0.8, "prune.rounds": rounds}, stop_below=below, branches=[RandomReinit()])

    accuracies = [row["validation_accuracy"] for row in lab.run(study(None), "free").tickets]
    assert min(accuracies[1:]) < accuracies[0]
    second = sorted(accuracies[1:3])[0] + 1e-6
    expected = next(number for number in (1, 2, 3) if accuracies[number] < second)
    ran = lab.run(study(second))
    assert len(ran.tickets) == expected + 1
    assert ran.steps == 40 * (1 + 2 * expected)
    again = lab.run(study(second))
    assert (again.steps, again.plan.jobs) == (0, ())
    assert again.plan.unique_steps == ran.steps
    assert again.plan.branch_steps == 40 * expected
    free = lab.run(study(None))
    assert free.steps == 40 * 2 * (3 - expected)
    assert [row["validation_accuracy"] for row in free.tickets] == accuracies


def test_the_accuracy_rule_spares_round_0(lab: Any) -> None:
    ran = lab.run(lab.study({"train.lr": 1e-6}, stop_below=0.9))
    assert [row["round"] for row in ran.tickets] == [0, 1]

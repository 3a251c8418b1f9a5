import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from lth_ray.config import Prune, Rewind, ShuffledMask, Study, Train, steps
from lth_ray.lottery import Plan, make_plan
from lth_ray.record.mlflow import runs

FakeRecord = Callable[..., dict[str, Any]]


def test_a_lineage_and_all_that_hangs_on_it_have_the_same_params(plan: Plan, fake_record: FakeRecord) -> None:
    lineage, result = plan.lineages[1], plan.branches[0]
    dense = fake_record(lineage.dense, 1.0)
    common = runs.describe_lineage(lineage, dense, "/s").params
    assert common == {
        "seed": "1", "rewind_step": "0", "method": "weights", "rewind_optimizer": "fresh", "criterion": "magnitude",
        "scope": "layer", "prune_fraction": '{"fc*": 0.2, "output.weight": 0.1}', "one_shot": "false",
        "model": "lenet_300_100", "dataset": "digits", "batch_size": "60", "optimizer": "adam", "lr": "0.0012",
        "warmup_steps": "0", "train_steps": "300",
    }  # fmt: skip
    ticket = runs.describe_ticket(lineage, 2, fake_record(lineage.rounds[2].segment, 0.64))
    assert ticket.params == {**common, "round": "2"}
    branch = runs.describe_branch(result, fake_record(result.segment, 0.8))
    assert branch.params == {**common, "seed": "0", "round": "1", "branch": "random_reinit", "index": "0"}


def test_arms_and_swept_fields_are_params(make_study: Callable[..., Study]) -> None:
    study = make_study(
        arms={"fast": {}, "slow": {"train.lr": 0.1}}, sweep={"train.warmup": (steps(0), steps(20))},
        rewind=[Rewind(steps(20), method="learning_rate")],
    )  # fmt: skip
    params = runs.params(make_plan(study).lineages[-1])
    assert params["arm"] == "slow"
    assert (params["train.warmup"], params["warmup_steps"]) == ("steps(20)", "20")
    assert (params["lr"], params["method"], params["rewind_step"]) == ("0.1", "learning_rate", "20")


def test_a_lineage_says_nothing_of_those_beside_it(make_study: Callable[..., Study], fake_record: FakeRecord) -> None:
    """Of ten thousand learning rates each would name all: 14 GB in MLflow for a hundred thousand lineages."""
    study = make_study(
        arms={"fast": {}, "slow": {"train.weight_decay": 0.1}}, sweep={"train.lr": [0.1, 0.2, 0.3]}, may_fail=["slow"],
        rewind=[steps(0), steps(20)], seeds=[4, 5],
    )  # fmt: skip
    lineage = make_plan(study).lineages[-1]
    described = runs.describe_lineage(lineage, fake_record(lineage.dense, 1.0), "/s")
    said = described.files["study.json"]["study"]
    assert (said["arms"], said["sweep"], said["may_fail"], said["seeds"]) == ({}, {}, [], [5])
    assert (said["train"]["weight_decay"], said["train"]["lr"], said["rewind"][0]["point"]) == (0.1, 0.3, "steps(20)")
    assert len(said["rewind"]) == 1
    assert json.loads(described.tags["lth.config"]) == said


def test_a_branchs_own_fields_do_not_shadow_the_pruning_rules(
    make_study: Callable[..., Study], fake_record: FakeRecord
) -> None:
    result = make_plan(make_study(branches=[ShuffledMask(scope="filter")])).branches[0]
    params = runs.describe_branch(result, fake_record(result.segment, 0.8)).params
    assert (params["scope"], params["branch.scope"]) == ("layer", "filter")


def test_curves_leave_out_what_says_nothing() -> None:
    journal = {"step": [10, 20], "epoch": [1.0, 2.0], "lr": [0.1, 0.1], "test_loss": [0.5, None]}
    assert runs.curves(journal, 1000) == [("test_loss", 0.5, 10, 1010)]
    assert ("lr", 0.01, 20, 1020) in runs.curves({**journal, "lr": [0.1, 0.01]}, 1000)
    assert runs.curves({}, 1000) == []


def test_a_point_holds_every_number_of_the_row(plan: Plan, fake_record: FakeRecord) -> None:
    record = fake_record(plan.lineages[0].rounds[1].segment, 0.8)
    point = {name: (value, step) for name, value, step, _ in runs.point(record, 1)}
    assert point["remaining_weights"] == (0.8, 1)
    assert point["sparsity"] == (pytest.approx(0.2), 1)
    assert {"test_accuracy", "test_error", "early_stop_step", "train_steps"} <= set(point)
    assert not {"key", "content", "device", "diverged_at"} & set(point)
    assert {moment for *_, moment in runs.point(record, 1)} == {runs.milliseconds(record) + 1}


def test_the_diverged_say_where(plan: Plan, fake_record: FakeRecord) -> None:
    lineage = plan.lineages[0]
    record = fake_record(lineage.rounds[1].segment, 0.8, diverged_at=37, train_steps=37)
    described = runs.describe_ticket(lineage, 1, record)
    assert described.tags["lth.diverged_at"] == "37"
    assert not [metric for metric in described.metrics if metric[0] == "test_error"]


def test_more_rounds_are_the_same_lineage_and_another_rule_is_not(make_study: Callable[..., Study]) -> None:
    def digest(**fields: Any) -> str:
        return runs.lineage_digest(make_plan(make_study(**fields)).lineages[0])

    prune = Prune("magnitude", fraction=0.2, rounds=3)
    assert digest(prune=prune) == digest(prune=replace(prune, rounds=9))
    assert digest(prune=prune) != digest(prune=replace(prune, one_shot=True))
    assert digest(prune=prune) != digest(train=Train(steps(400), lr=0.1), prune=prune)


def test_what_a_training_took_is_told_at_its_own_times(plan: Plan, fake_record: FakeRecord) -> None:
    columns = {"moment": [5000, 9000], "system/cpu_utilization_percentage": [10.0, 90.0]}
    record = fake_record(plan.lineages[0].rounds[1].segment, 0.8, usage=columns)
    described = runs.describe_ticket(plan.lineages[0], 1, record)
    name = "system/cpu_utilization_percentage"
    assert described.usage == [(name, 10.0, 0, 5000), (name, 90.0, 1, 9000)]
    assert not [metric for metric in described.metrics if metric[0] == name]


def test_a_lineage_says_what_it_is_made_by(plan: Plan, fake_record: FakeRecord) -> None:
    tags = runs.describe_lineage(plan.lineages[0], fake_record(plan.lineages[0].dense, 1.0), "/s").tags
    assert (tags["lth.device"], tags["lth.world_size"], tags["lth.backend"]) == ("a processor", "1", "eager-fp32")
    assert '"torch": "2.14.1"' in tags["lth.versions"]
    assert '"lenet_300_100"' in tags["lth.config"]

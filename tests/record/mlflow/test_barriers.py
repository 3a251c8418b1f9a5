"""The mean error barrier of a ticket, for its own run."""

from dataclasses import replace

import pytest

from lth_ray import Barrier, Study, steps
from lth_ray.config import Length
from lth_ray.lottery import make_plan
from lth_ray.record.mlflow.barriers import Barriers
from tests.records import table_record
from tests.running.conftest import declared


def study(*spawns: Length | None) -> Study:
    branches = [Barrier(3, points=3, rounds=[1], spawn=spawn) for spawn in spawns]
    return replace(declared(), rewind=[steps(0)], branches=branches)


@pytest.mark.parametrize(("spawns", "name"), [((steps(10),), ""), ((steps(10), None), r"-points_3-spawn_steps_10_")])
def test_it_is_told_once_all_pairs_are_measured(spawns: tuple[Length | None, ...], name: str) -> None:
    plan = make_plan(study(*spawns))
    pairs = [result for result in plan.branches if "spawn" in result.parameters]
    records = {
        result.key: table_record(measurements={"lmc_error_barrier": value, "lmc_train_error_barrier": 2 * value})
        for result, value in zip(pairs, (0.1, 0.2, 0.6), strict=True)
    }
    barriers, first = Barriers(plan), pairs[0]
    assert barriers.metrics(first, 1, lambda key: records[key] if key == first.key else None) == []
    metrics = barriers.metrics(first, 1, records.get)
    assert [(metric, round(value, 6), step) for metric, value, step, _ in metrics] == [
        (f"lmc_error_barrier{name}", 0.3, 1),
        (f"lmc_train_error_barrier{name}", 0.6, 1),
    ]


def test_the_instability_stands_at_the_step_where_copies_part() -> None:
    plan = make_plan(study(steps(10), steps(40)))
    pairs = [result for result in plan.branches if "spawn" in result.parameters]
    records = {
        result.key: table_record(measurements={"lmc_error_barrier": value, "lmc_train_error_barrier": 0.0})
        for result, value in zip(pairs, (0.3, 0.3, 0.3, 0.1, 0.1, 0.1), strict=True)
    }
    barriers = Barriers(plan)
    found = [barriers.instability(pairs[i], records.get) for i in (0, 3)]
    told = [[(name, round(value, 6), step) for name, value, step, _ in metrics] for metrics in found]
    assert told == [[("instability", 0.3, 10)], [("instability", 0.1, 40)]]
    assert barriers.instability(pairs[0], lambda _: None) == []

"""The mean error barrier of a ticket, for its own run."""

import re

from lth_ray import Barrier, Study, steps
from lth_ray.lottery import make_plan
from lth_ray.record.barriers import Barriers
from tests.running.conftest import declared


def study(**fields: object) -> Study:
    from dataclasses import replace

    return replace(declared(), rewind=[steps(0)], branches=[Barrier(3, points=3, rounds=[1], **fields)])  # type: ignore[arg-type]


def test_it_is_told_once_all_pairs_are_measured() -> None:
    plan = make_plan(study(spawn=steps(10)))
    started = "2026-01-02T03:04:05+00:00"
    records = {
        result.key: {
            "started_at": started,
            "measurements": {"lmc_error_barrier": value, "lmc_train_error_barrier": 2 * value},
        }
        for result, value in zip(plan.branches, (0.1, 0.2, 0.6), strict=True)
    }
    barriers, first = Barriers(plan), plan.branches[0]
    assert barriers.metrics(first, 1, lambda key: records[key] if key == first.key else None) == []
    metrics = barriers.metrics(first, 1, records.get)
    assert [round(value, 6) for _, value, _, _ in metrics] == [0.3, 0.6]
    for name, _, step, _ in metrics:
        assert step == 1
        assert re.fullmatch(r"lmc_(train_)?error_barrier[\w.-]+", name)  # whatever tells it from other barriers

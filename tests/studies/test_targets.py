"""Every target of a paper is measured by a study here, or is known to wait for one."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from lth_ray import models, pruning
from lth_ray.config import ACCURACY
from lth_ray.config.tasks.translation import BLEU
from lth_ray.lottery import Plan
from lth_ray.lottery.execution.networks import build
from lth_ray.lottery.execution.ranking import ranking
from lth_ray.lottery.kept.records import SegmentRecord
from lth_ray.lottery.results import branch_row, ticket_row
from lth_ray.lottery.rounds import Lineage
from lth_ray.record.paper.comparing import against_paper
from lth_ray.record.paper.quantities import measured_as
from lth_ray.record.paper.targets import Target, group_of, groups, targets_of
from tests.records import segment_record
from tests.studies.plans import SCRIPTS, declared, plan_of

WAITING: tuple[str, ...] = ()  # for what their studies need
LARGE = ("language-transformer-*", "retraining-gnmt")
MEASURED = {"line": {"lmc_error_barrier": 0.0, "share_travelled": 0.3}, "distance": {"l2_distance": 1.0}}
Row = dict[str, Any]


@cache
def measured_by() -> dict[str, list[tuple[Path, int]]]:
    """{group: (script, number of its study)}"""
    found: dict[str, list[tuple[Path, int]]] = {}
    for script in SCRIPTS:
        for number, study in enumerate(declared(script)):
            found.setdefault(group_of(study.name, study.against), []).append((script, number))
    return found


def densities(lineage: Lineage) -> list[tuple[float, float]]:
    """Of each round: kept / eligible, and kept / all weights, counted."""
    name = repr(
        (
            lineage.recipe.model,
            lineage.recipe.identity.input_shape,
            lineage.rule,
            lineage.prune.num_rounds,
            lineage.prune.remaining,
        )
    )
    if name not in _COUNTED:
        model = build(lineage.recipe)
        ranks = ranking(model, lineage.rule, lineage.recipe)
        mask = ranks.everything
        may, every = (sum(weight.numel() for weight in some.values()) for some in (mask, models.counted(model)))
        numbers, rule = range(1, lineage.prune.num_rounds + 1), lineage.prune
        told = [
            0,
            *(pruning.counts_of({**lineage.rule, "scope": ranks.scope}, mask, n, rule.density(n)) for n in numbers),
        ]
        pruned = [count if isinstance(count, int) else sum(count.values()) for count in told]
        _COUNTED[name] = [(1 - count / may, 1 - count / every) for count in pruned]
    return _COUNTED[name]


_COUNTED: dict[str, list[tuple[float, float]]] = {}


def rows(plan: Plan, accuracy: float) -> tuple[list[Row], list[Row]]:
    """The tables of a plan that is done: dense networks reach 90 %, all others `accuracy`; copies are stable."""

    def record(lineage: Lineage, number: int, measurements: dict[str, Any], trained: bool) -> SegmentRecord:
        eligible_left, left = densities(lineage)[number]
        reached, metric = accuracy if number or measurements else 0.9, lineage.recipe.task.metric
        journal = {"step": [1], metric.column("test"): [reached], "validation_loss": [1.0]} if trained else {}
        return segment_record(
            remaining_weights=eligible_left, remaining_of_all=left, journal=journal, measurements=measurements,
            key=f"{lineage.id}/{number}", metric=metric.document,
        )  # fmt: skip

    tickets = [
        ticket_row(lineage, r.number, record(lineage, r.number, {}, True)) | ({"drawn_at": 0.1} if lineage.draw else {})
        for lineage in plan.lineages
        for r in lineage.rounds
    ]  # fmt: skip
    branches = []
    for result in plan.branches:
        found = MEASURED.get(result.table.kind, {}) if result.table else {"of": "a branch"}
        branches.append(branch_row(result, record(result.lineage, result.round, found, result.table is None)))
    return tickets, branches


def unmatched(plan: Plan, wanted: list[Target]) -> Iterator[Target]:
    below, above = (rows(plan, accuracy) for accuracy in (0.89, 0.91))
    for target in wanted:
        if all(against_paper(*tables, [target], plan.study.data.metric).empty for tables in (below, above)):
            yield target


def matched() -> Iterator[Any]:
    """The groups that have a study; those of networks of 100 million weights and more take long to build."""
    for group in groups():
        if not any(fnmatchcase(group, pattern) for pattern in WAITING):
            large = any(fnmatchcase(group, pattern) for pattern in LARGE)
            yield pytest.param(group, marks=[pytest.mark.slow] * large)


@pytest.mark.parametrize("group", matched())
def test_a_target_is_matched_by_what_its_study_measures(group: str, shared_data: Path) -> None:
    missing = targets_of(group)
    for script, number in measured_by()[group]:
        missing = list(unmatched(plan_of(script, number, shared_data), missing))
    assert not missing


def test_those_that_wait_have_no_study_yet() -> None:
    waiting = {group for group in groups() if any(fnmatchcase(group, pattern) for pattern in WAITING)}
    assert not waiting & measured_by().keys()
    quantities = {one.quantity for one in (t for g in groups() if g not in waiting for t in targets_of(g))}
    assert quantities <= measured_as(ACCURACY).keys() | measured_as(BLEU).keys()

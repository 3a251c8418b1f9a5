"""Rows of a study's tables, read from the store: what is finished so far, whatever is still running."""

from collections.abc import Mapping
from typing import Any

from lth_ray.config import Length
from lth_ray.lottery.cost import Costs
from lth_ray.lottery.hanging import BranchResult
from lth_ray.lottery.plan import Plan
from lth_ray.lottery.rounds import Lineage
from lth_ray.lottery.stock import whole_records
from lth_ray.store import Store

Record = Mapping[str, Any]


def ticket_rows(plan: Plan, store: Store) -> list[dict[str, Any]]:
    """A row for each finished ticket, lineage by lineage and round by round."""
    found = [(lineage, r) for lineage in plan.lineages for r in lineage.rounds]
    records, costs = _searches(plan, store), Costs(plan)
    return [
        {**ticket_row(lineage, r.number, records[r.segment.key]), **costs.of_ticket(lineage, r.number, records.get)}
        for lineage, r in found
        if r.segment.key in records
    ]


def branch_rows(plan: Plan, store: Store) -> list[dict[str, Any]]:
    """A row for each finished branch result."""
    asked = {key for result in plan.branches for key in (result.key, *(s.key for _, s in result.trainings))}
    records, costs = _searches(plan, store) | whole_records(store, plan.keys & asked), Costs(plan)
    return [
        {**branch_row(result, records[result.key]), **costs.of_branch(result, records.get)}
        for result in plan.branches
        if result.key in records
    ]


def _searches(plan: Plan, store: Store) -> dict[str, dict[str, Any]]:
    """The records of every lineage's trainings."""
    segments = [s for lineage in plan.lineages for r in lineage.rounds for s in (r.segment, r.search) if s]
    return whole_records(store, plan.keys & {segment.key for segment in segments})


def ticket_row(lineage: Lineage, number: int, record: Record) -> dict[str, Any]:
    """One row of Results.tickets()."""
    variant = lineage.variant
    return {
        "lineage": lineage.id,
        "arm": variant.arm,
        **{path: str(value) if isinstance(value, Length) else value for path, value in variant.varied.items()},
        "method": variant.rewind.method,
        "seed": variant.seed,
        "rewind_step": lineage.rewind_step,
        "round": number,
        **measurements(record),
    }


def branch_row(result: BranchResult, record: Record) -> dict[str, Any]:
    """One row of Results.branches()."""
    ticket = ticket_row(result.lineage, result.round, record)
    return {**ticket, "branch": result.path, "index": result.index, **result.parameters}


def measurements(record: Record) -> dict[str, Any]:
    """What a finished segment or table measured, as columns. Shares and accuracies lie in [0, 1]."""
    journal = record.get("journal", {})
    early = early_stop(journal)
    last = {name: _last(journal, name) for name in ("test_accuracy", "validation_accuracy", "test_loss")}
    diverged = record["diverged_at"] is not None
    if diverged:
        last = dict.fromkeys(last)
        early = None
    return {
        "remaining_weights": record["remaining_weights"],
        "sparsity": 1 - record["remaining_weights"],
        "test_accuracy": last["test_accuracy"],
        "test_error": None if last["test_accuracy"] is None else 1 - last["test_accuracy"],
        "test_loss": last["test_loss"],
        "validation_accuracy": last["validation_accuracy"],
        "early_stop_step": None if early is None else journal["step"][early],
        "early_stop_at_end": None if early is None else early == len(journal["step"]) - 1,
        "test_accuracy_at_early_stop": None if early is None else journal["test_accuracy"][early],
        "train_steps": record.get("train_steps", 0),
        "diverged_at": record["diverged_at"],
        "seconds": record["seconds"],
        "device": record["environment"]["device"],
        "backend": record.get("backend"),
        "key": record["key"],
        "content": record["content"],
        **record.get("measurements", {}),
    }


def early_stop(journal: Mapping[str, list[Any]]) -> int | None:
    """The row of minimum validation loss, the first of equals (Frankle & Carbin 2019, section 2); None without."""
    losses = journal.get("validation_loss", [])
    measured = [(loss, row) for row, loss in enumerate(losses) if loss is not None]
    return min(measured)[1] if measured else None


def _last(journal: Mapping[str, list[Any]], name: str) -> Any:
    values = journal.get(name) or [None]
    return values[-1]

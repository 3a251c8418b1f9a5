"""Rows of a study's tables, read from the store: what is finished so far, whatever is still running."""

from typing import Any

from lth_ray.config import Folder, Length, WeightsFile
from lth_ray.lottery.branch_tree import BranchResult
from lth_ray.lottery.cost import Costs
from lth_ray.lottery.kept.records import Record, SegmentRecord, segments
from lth_ray.lottery.kept.stored import whole_records
from lth_ray.lottery.measurements import measurements
from lth_ray.lottery.plan import Plan
from lth_ray.lottery.rounds import Lineage
from lth_ray.store import Store


def ticket_rows(plan: Plan, store: Store) -> list[dict[str, Any]]:
    """Return a row for each finished ticket, lineage by lineage and round by round."""
    found = [(lineage, r) for lineage in plan.lineages for r in lineage.rounds]
    records, costs = _searches(plan, store), Costs(plan)
    return [
        {
            **ticket_row(lineage, r.number, records[r.segment.key]),
            **costs.of_ticket(lineage, r.number, records.get),
            **_draw(lineage, records.get(lineage.trunk.key)),
        }
        for lineage, r in found
        if r.segment.key in records
    ]


def branch_rows(plan: Plan, store: Store) -> list[dict[str, Any]]:
    """Return a row for each finished branch result."""
    asked = {key for result in plan.branches for key in (result.key, *(s.key for _, s in result.trainings))}
    records, costs = whole_records(store, plan.keys & asked), Costs(plan)
    trained = _searches(plan, store) | segments(records)
    return [
        {
            **branch_row(result, records[result.key]),
            **_parted(result, trained.get(result.lineage.trunk.key)),
            **costs.of_branch(result, trained.get),
        }
        for result in plan.branches
        if result.key in records
    ]


def _draw(lineage: Lineage, record: SegmentRecord | None) -> dict[str, Any]:
    """Return where a lineage's mask was drawn, and whether masks agreed; {} where it is none that is drawn."""
    drawn = record.drawn if lineage.draw is not None and record is not None else None
    if not drawn:
        return {}
    share = drawn["step"] / lineage.recipe.total_steps
    return {"drawn_step": drawn["step"], "drawn_at": share, "drawn_agreed": drawn["agreed"]}


def _parted(result: BranchResult, record: SegmentRecord | None) -> dict[str, Any]:
    """Return the step at which copies of a ticket parted, where that is its draw, which no plan knows."""
    is_told = result.table is None or result.table.kind not in ("line", "distance") or "spawn_step" in result.parameters
    return {} if is_told else {"spawn_step": _draw(result.lineage, record).get("drawn_step")}


def _searches(plan: Plan, store: Store) -> dict[str, SegmentRecord]:
    """Return the records of every lineage's trainings."""
    trained = [s for lineage in plan.lineages for r in lineage.rounds for s in (r.segment, r.search)]
    trained += [lineage.pretraining for lineage in plan.lineages]
    return segments(whole_records(store, plan.keys & {segment.key for segment in trained if segment}))


def ticket_row(lineage: Lineage, number: int, record: Record) -> dict[str, Any]:
    """Return one row of Results.tickets()."""
    variant = lineage.variant
    return {
        "lineage": lineage.id,
        "arm": variant.arm,
        **{
            path: str(value) if isinstance(value, (Folder, Length, WeightsFile)) else value
            for path, value in variant.varied.items()
        },
        "method": variant.rewind.method,
        "seed": variant.seed,
        "rewind_step": lineage.rewind_step,
        "steps_per_epoch": lineage.recipe.steps_per_epoch or None,
        "round": number,
        **measurements(record),
    }


def branch_row(result: BranchResult, record: Record) -> dict[str, Any]:
    """Return one row of Results.branches()."""
    ticket = ticket_row(result.lineage, result.round, record)
    return {**ticket, "branch": result.path, "index": result.index, **result.parameters}

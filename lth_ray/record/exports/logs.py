"""The training curves of a study as runs: one a ticket or branch result that was trained, one a lineage by round."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lth_ray.config import Metric, is_there
from lth_ray.lottery import Plan, branch_rows, ticket_rows
from lth_ray.record.report.long_tables import curves
from lth_ray.record.report.tables import OF_BRANCHES, Row, branch_columns, framed, plain, rows_of
from lth_ray.store import Store

if TYPE_CHECKING:
    import pandas

WHAT = ("arm", "method", "seed", "rewind_step", "round", "remaining_weights", "key")
MEASURED = ("test_loss", "early_stop_step", "train_steps", "seconds")


@dataclass(frozen=True)
class Logged:
    """A run to be logged.

    name: LINEAGE/rROUND, behind it the branch; of a lineage its own.
    group: its lineage.
    config: what it is.
    points: {step: {name: value}}; of a lineage by round.
    summary: what it reached.
    """

    name: str
    group: str
    config: dict[str, Any]
    points: dict[int, dict[str, float]] = field(default_factory=dict)
    summary: dict[str, float] = field(default_factory=dict)


def logged(plan: Plan, store: Store) -> Iterator[Logged]:
    """Yield the runs of what is finished: lineages, then tickets, then branch results."""
    metric = plan.study.data.metric
    tickets, branches = ticket_rows(plan, store), branch_rows(plan, store)
    yield from _lineages(tickets, metric)
    yield from _trained(tickets, store, metric)
    yield from _trained(branches, store, metric)


def _lineages(tickets: Sequence[Row], metric: Metric) -> Iterator[Logged]:
    lineages: dict[str, list[Row]] = {}
    for row in tickets:
        lineages.setdefault(row["lineage"], []).append(row)
    names = ("remaining_weights", metric.column("test"), metric.column("validation"), *MEASURED)
    for name, rows in lineages.items():
        yield Logged(name, name, _config(rows[0], ("arm", "method", "seed", "rewind_step"), metric),
                     {row["round"]: _numbers(row, names) for row in rows})  # fmt: skip


def _trained(rows: Sequence[Row], store: Store, metric: Metric) -> Iterator[Logged]:
    by_key: dict[str, dict[int, dict[str, float]]] = {}
    keys = {row["key"]: row for row in rows}  # a result that several lineages share is read once
    frame: pandas.DataFrame = framed([{"key": key} for key in keys], metric)
    for point in rows_of(curves(frame, store)) if keys else ():
        values = {name: value for name, value in point.items() if name not in ("key", "step") and value is not None}
        by_key.setdefault(point["key"], {})[point["step"]] = values
    test = metric.column("test")
    for row in rows:
        if row["key"] in by_key:
            name = "/".join(filter(None, [row["lineage"], f"r{row['round']}", _branch(row)]))
            reached = _numbers(row, (test, metric.column("validation"), metric.at_early_stop, *MEASURED))
            yield Logged(name, row["lineage"], _config(row, WHAT, metric), by_key[row["key"]], reached)


def _branch(row: Row) -> str:
    return f"{row['branch']}-{row['index']}" if row.get("branch") else ""


def _config(row: Row, names: tuple[str, ...], metric: Metric) -> dict[str, Any]:
    """Return what a run is: these columns, and those that the study varies, as plain values."""
    fixed = branch_columns(metric)
    told = [*names, *(name for name in (*row, *OF_BRANCHES) if name not in fixed or name in OF_BRANCHES)]
    found = {name: row[name] for name in told if name in row and is_there(row[name])}
    return {
        name: value if isinstance(value, (bool, int, float, str)) else plain(value) for name, value in found.items()
    }


def _numbers(row: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, float]:
    return {name: float(row[name]) for name in names if is_there(row.get(name))}

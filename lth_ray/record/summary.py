"""What a study found, over its seeds: one line for each kind of subnetwork and round, with n and spread."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lth_ray.record.tables import BRANCH_COLUMNS, TICKET_COLUMNS, plain

if TYPE_CHECKING:
    import pandas

Row = Mapping[str, Any]
CONFIDENCE = 0.95
SERIES = "series"


def summary(tickets: Sequence[Row], branches: Sequence[Row]) -> "pandas.DataFrame":
    """A row for each (series, branch and its parameters, round), in the order of the rows given.

    series: a lineage without its seed: arm, swept values, method and rewind point; the columns after it say the same
    one by one. branch: "" for tickets.
    runs: results behind the line; seeds: how many different seeds they come from (a branch with `copies` has more runs
    than seeds, and its runs are not averaged within a seed). diverged: those of them without an accuracy, which enter
    no mean.
    test_accuracy: mean, with _min, _max and _half_width, that of the 95 % t-interval over runs (None under 2).
    early_stop_step: mean with _min and _max. test_accuracy_at_early_stop, remaining_weights: means.
    """
    import pandas

    fields = described_by(tickets, branches)
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in [*tickets, *branches]:
        described = tuple(plain(row[name]) if name in row else "" for name in fields)
        groups.setdefault((series_of(row), row.get("branch", ""), described, row["round"]), []).append(row)
    lines = [_line(rows, fields) for rows in groups.values()]
    return pandas.DataFrame(lines, columns=[SERIES, *COMMON, *fields, "branch", "round", *MEASURED])


COMMON = ("arm", "method", "rewind_step")
MEASURED = (
    "remaining_weights", "runs", "seeds", "diverged", "test_accuracy", "test_accuracy_min", "test_accuracy_max",
    "test_accuracy_half_width", "early_stop_step", "early_stop_step_min", "early_stop_step_max",
    "test_accuracy_at_early_stop",
)  # fmt: skip


def described_by(tickets: Sequence[Row], branches: Sequence[Row]) -> list[str]:
    """The columns that rows have beyond the fixed ones: swept fields, then branches' parameters."""
    found = [name for row in tickets for name in row if name not in TICKET_COLUMNS]
    return list(dict.fromkeys([*found, *(name for row in branches for name in row if name not in BRANCH_COLUMNS)]))


def series_of(row: Row) -> str:
    """A row's lineage without its seed, which comes last."""
    return str(row["lineage"]).rpartition("/")[0]


def _line(rows: list[Row], fields: list[str]) -> dict[str, Any]:
    first = rows[0]
    accuracies = _present(rows, "test_accuracy")
    steps = _present(rows, "early_stop_step")
    return {
        SERIES: series_of(first),
        **{name: first[name] for name in COMMON},
        **{name: first.get(name) for name in fields},
        "branch": first.get("branch", ""),
        "round": first["round"],
        "remaining_weights": _mean([row["remaining_weights"] for row in rows]),
        "runs": len(rows),
        "seeds": len({row["seed"] for row in rows}),
        "diverged": len(rows) - len(accuracies),
        "test_accuracy": _mean(accuracies),
        "test_accuracy_min": min(accuracies, default=None),
        "test_accuracy_max": max(accuracies, default=None),
        "test_accuracy_half_width": half_width(accuracies),
        "early_stop_step": _mean(steps),
        "early_stop_step_min": min(steps, default=None),
        "early_stop_step_max": max(steps, default=None),
        "test_accuracy_at_early_stop": _mean(_present(rows, "test_accuracy_at_early_stop")),
    }


def _present(rows: list[Row], name: str) -> list[float]:
    return [row[name] for row in rows if row[name] is not None and not math.isnan(row[name])]


def _mean(values: list[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def half_width(values: list[float]) -> float | None:
    """Of the 95 % confidence interval of the mean by Student's t; None under two values."""
    n = len(values)
    if n < 2:
        return None
    from scipy import stats

    mean = math.fsum(values) / n
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * deviation / math.sqrt(n))

"""Tickets compared over seeds: with the dense network they were found in, and with random subnetworks as sparse.

Made when a report is; nothing of it is stored with a ticket. What is compared is the metric on the test set at the
last step, and the early-stop step, that of the least validation loss.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lth_ray.analysis.statistics import (
    Verdict,
    differences,
    interval,
    non_inferiority,
    resolvable,
    superiority,
    within_seeds,
)
from lth_ray.config import ACCURACY, Metric, is_there
from lth_ray.lottery.branches import controls
from lth_ray.record.report.summary import (
    COMMON,
    SERIES,
    described_by,
    grouped,
    has_trained,
    is_level,
    series_of,
)
from lth_ray.record.report.tables import REAL, TEXT, WHOLE, Row, encode_table, framed, ticket_columns
from lth_ray.record.report.wording import kind
from lth_ray.store import Store, study_path

if TYPE_CHECKING:
    import pandas

DENSE = "dense"
OPEN = Verdict(0, None, "no verdict (still learning)")
COMPARED = {
    "round": WHOLE,
    "remaining_weights": REAL,
    "against": TEXT,
    "n": WHOLE,
    "difference": REAL,
    "difference_min": REAL,
    "difference_max": REAL,
    "difference_half_width": REAL,
    "margin": REAL,
    "margin_asked": REAL,
    "matching_p": REAL,
    "matching": TEXT,
    "superiority_p": REAL,
    "superiority": TEXT,
    "steps_earlier": REAL,
    "steps_earlier_half_width": REAL,
    "faster_p": REAL,
    "faster": TEXT,
}


def comparisons(
    tickets: Sequence[Row],
    branches: Sequence[Row],
    fields: Sequence[str] | None = None,
    margin: float | None = None,
    n_test: int = 0,
    metric: Metric = ACCURACY,
) -> "pandas.DataFrame":
    """Return a row for each (series, round from 1 on) and what its tickets are compared `against`.

    Columns. against: "dense", round 0 of the same series if it was trained (see `is_level`), or a control at
    the same round, with its parameters. n: seeds that have both; several copies of a
    seed are averaged first. difference: by how much the tickets' metric on the test set is better than the
    other's (of accuracies, theirs minus the other's), paired by seed: mean, with _min, _max and _half_width,
    that of the 95 % t-interval. matching, matching_p: against dense, non-inferiority by the column `margin`.
    superiority, superiority_p: against controls. steps_earlier: by how much the tickets' early-stop step is
    earlier, paired likewise; faster, faster_p: whether it is.

    Each of the three is a family by itself, with Holm's correction over all of the study, says "no verdict"
    under three seeds, and is None elsewhere. A ticket whose early-stop step is its last might have come later
    still: then there is no verdict of `faster` either.

    fields: as in `summary`.
    margin: that asked for, by default the metric's own, see `resolvable`.
    n_test: images of the test set.
    """
    margin = metric.margin if margin is None else margin
    fields = described_by(tickets, branches, metric) if fields is None else list(fields)
    swept = [name for name in fields if any(name in row for row in tickets)]
    pairs = _pairs(tickets, branches, swept, [name for name in fields if name not in swept], metric)
    found = [_gains(rows, others, metric) for rows, _, others in pairs]
    lines = [
        {**_described(rows[0], swept), "against": against, **_spread(values)}
        for (rows, against, _), values in zip(pairs, found, strict=True)
    ]
    dense = [i for i, line in enumerate(lines) if line["against"] == DENSE]
    others = [i for i, line in enumerate(lines) if line["against"] != DENSE]
    used = resolvable(margin, n_test if metric.is_share else 0)
    for i, verdict in zip(dense, non_inferiority([found[i] for i in dense], used), strict=True):
        lines[i] |= {"margin": used, "margin_asked": margin, "matching_p": verdict.p, "matching": verdict.text}
    for i, verdict in zip(others, superiority([found[i] for i in others]), strict=True):
        lines[i] |= {"superiority_p": verdict.p, "superiority": verdict.text}
    for line, speed in zip(lines, _speeds(pairs), strict=True):
        line |= speed
    return framed(lines, metric, [SERIES, *COMMON, *swept, *COMPARED])


def write_comparisons(store: Store, name: str, frame: "pandas.DataFrame") -> str:
    """Write studies/NAME/comparisons.parquet; return its path in the store."""
    fixed = {SERIES: TEXT, **{name: ticket_columns()[name] for name in COMMON}, **COMPARED}
    rows = [
        {column: value if is_there(value) else None for column, value in row.items()}
        for row in frame.to_dict("records")
    ]
    path = study_path(name, "comparisons.parquet")
    store.put(path, encode_table(rows, fixed, name))
    return path


def _pairs(
    tickets: Sequence[Row],
    branches: Sequence[Row],
    swept: Sequence[str],
    own: Sequence[str],
    metric: Metric,
) -> list[tuple[list[Row], str, list[Row]]]:
    """Return (tickets of one series and round, what they are compared against, its rows)."""
    dense = {series_of(rows[0]): rows for rows in grouped(list(filter(is_level, tickets)), swept)}
    of_controls = controls()
    beside: dict[tuple[str, int], list[list[Row]]] = {}
    for rows in grouped([row for row in branches if row["branch"] in of_controls and has_trained(row, metric)], own):
        beside.setdefault((series_of(rows[0]), rows[0]["round"]), []).append(rows)
    found: list[tuple[list[Row], str, list[Row]]] = []
    for rows in grouped([row for row in tickets if row["round"] > 0], swept):
        series = series_of(rows[0])
        if series in dense:
            found.append((rows, DENSE, dense[series]))
        found += [(rows, _name(others[0], own), others) for others in beside.get((series, rows[0]["round"]), [])]
    return found


def _speeds(pairs: Sequence[tuple[Sequence[Row], str, Sequence[Row]]]) -> list[dict[str, Any]]:
    """Return of each pair whether its tickets' early-stop step is shown to be the earlier one; {} where none
    was measured.
    """
    earlier = [differences(_early_stops(others), _early_stops(rows)) for rows, _, others in pairs]
    is_open = [any(row.get("early_stop_at_end") is True for row in rows) for rows, _, _ in pairs]
    tested = [i for i, values in enumerate(earlier) if values and not is_open[i]]
    verdicts = dict(zip(tested, superiority([earlier[i] for i in tested], "faster"), strict=True))
    return [_speed(values, verdicts.get(i, OPEN)) if values else {} for i, values in enumerate(earlier)]


def _speed(values: Sequence[float], verdict: Verdict) -> dict[str, Any]:
    found = interval(values)
    return {
        "steps_earlier": found.mean,
        "steps_earlier_half_width": found.half_width,
        "faster_p": verdict.p,
        "faster": verdict.text,
    }


def _gains(rows: Sequence[Row], others: Sequence[Row], metric: Metric) -> list[float]:
    """Return by how much rows are better than others on the test set, seed by seed."""
    own, other = (_judged(some, metric.column("test")) for some in (rows, others))
    return [metric.gain(own[seed], other[seed]) for seed in sorted(own.keys() & other.keys())]


def _judged(rows: Sequence[Row], column: str) -> dict[int, float]:
    return within_seeds((row["seed"], row[column]) for row in rows if is_there(row[column]))


def _early_stops(rows: Sequence[Row]) -> dict[int, float]:
    trained = [row for row in rows if row.get("train_steps") != 0 and is_there(row.get("early_stop_step"))]
    return within_seeds((row["seed"], row["early_stop_step"]) for row in trained)


def _name(row: Row, own: Sequence[str]) -> str:
    """Return a control in words, with its parameters: "shuffled mask, scope layer"."""
    told = [f"{name.replace('_', ' ')} {row[name]}" for name in own if is_there(row.get(name))]
    return ", ".join([kind(row), *told])


def _described(row: Row, swept: Sequence[str]) -> dict[str, Any]:
    names = [*COMMON, *swept, "round", "remaining_weights"]
    return {SERIES: series_of(row), **{name: row.get(name) for name in names}}


def _spread(values: list[float]) -> dict[str, Any]:
    found = interval(values)
    return {
        "n": found.n,
        "difference": found.mean,
        "difference_min": found.min,
        "difference_max": found.max,
        "difference_half_width": found.half_width,
    }

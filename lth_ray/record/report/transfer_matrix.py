"""Sources x targets: what tickets of each source come to on each target, beside controls and the target's own tickets.

After Morcos et al. 2019, whose figures have a panel for each target and a line for each source.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lth_ray.analysis.statistics import Interval, interval, within_seeds
from lth_ray.config import ACCURACY, Metric, is_there
from lth_ray.record.report.listing import Listing
from lth_ray.record.report.summary import path_of, series_of
from lth_ray.record.report.tables import Row, framed, metric_of_frame, plain
from lth_ray.record.report.wording import as_words, percent, points, spread, valued

if TYPE_CHECKING:
    import pandas

BEYOND = ("control", "own", "dense")  # what a ticket on a target is compared with
Values = Mapping[int, float]  # by seed


@dataclass(frozen=True)
class Cell:
    """The tickets of one source at a round, trained on one target.

    values: the metric on the test set.
    over: by how much it is better than what BEYOND names, paired by seed: the same source's control (a permuted mask
        on new weights), the target's own ticket at that round, and the target's dense network.
    """

    source: str
    target: str
    round: int
    remaining_weights: float
    values: Values
    over: Mapping[str, Values]


def cells(tickets: Sequence[Row], branches: Sequence[Row], metric: Metric = ACCURACY) -> list[Cell]:
    """Return a cell for each source, target and round, sources and targets in the order of the rows.

    tickets, branches: rows of a study. A target whose own tickets are there, because a transfer to it is one of them,
    has their source's name; others that of the fields that are changed, as far as they differ.
    """
    test = metric.column("test")
    moved = [row for row in branches if path_of(row) == "transfer" and row["round"] and is_there(row.get(test))]
    sources, own = _sources(tickets), _own(tickets, moved)
    names = _targets(moved, {change: sources[series] for change, series in own.items()})
    found: dict[tuple[str, str, int], list[Row]] = {}
    for row in (row for row in moved if row["start"] == "rewound"):
        found.setdefault((series_of(row), change_of(row), row["round"]), []).append(row)
    lines = []
    for (series, change, number), rows in found.items():
        control = [row for row in moved if (series_of(row), change_of(row)) == (series, change)
                   and row["start"] == "random" and row["round"] == number]  # fmt: skip
        at_home = [row for row in tickets if series_of(row) == own.get(change)]
        values = _by_seed(rows, test)
        others = {
            "control": _by_seed(control, test),
            "own": _by_seed([row for row in at_home if row["round"] == number], test),
            "dense": _by_seed([row for row in at_home if row["round"] == 0], test),
        }
        over = {name: _gains(values, theirs, metric) for name, theirs in others.items()}
        lines.append(Cell(sources[series], names[change], number, rows[0]["remaining_weights"], values, over))
    return lines


def transfer_matrix(tickets: Sequence[Row], branches: Sequence[Row], metric: Metric = ACCURACY) -> "pandas.DataFrame":
    """Return a row for each of `cells`.

    n: seeds; several results of one are averaged first. The metric on the test set with _half_width, that of the 95 %
    t-interval over seeds, and to_control, to_own and to_dense, differences as in Cell.over, with theirs.
    """
    test = metric.column("test")
    columns = ["source", "target", "round", "remaining_weights", "n", test, f"{test}_half_width"]
    columns += [f"to_{name}{end}" for name in BEYOND for end in ("", "_half_width")]
    return framed([_line(cell, test) for cell in cells(tickets, branches, metric)], metric, columns)


def matrix_listing(frame: "pandas.DataFrame") -> Listing | None:
    """Return the matrix at each round with a note; None where no source meets two targets and no target two sources."""
    if frame.empty or max(frame["source"].nunique(), frame["target"].nunique()) < 2:
        return None
    metric = metric_of_frame(frame)
    judged = f"test {metric.called}"
    headings = ("source", "target", "round", "remaining", judged, "to its control", "to target's own", "to dense", "n")
    lines = [_text(line, metric) for line in frame.to_dict("records")]
    turned = "" if metric.better == "higher" else ", positive where it is better"
    note = (
        f"Tickets found on the source and trained on the target: their {judged}, and it minus that of the control of "
        "the same source (newly drawn weights under the mask, permuted over all layers), of the target's own ticket at "
        f"that round, and of the target's dense network, paired by seed{turned}: mean ± half its 95 % t-interval. "
        "Where source and target are one it is that study's ticket itself. n counts seeds."
    )
    return Listing("Sources and targets", headings, lines, headings[:2], note)


def change_of(row: Row) -> str:
    """Return what a transfer changes, and how it is trained, as one text that tells it from others."""
    return plain([row["changes"], row.get("length"), row.get("output")])


def _sources(tickets: Sequence[Row]) -> dict[str, str]:
    """Return {series: its name}: without its rewind point where that tells none from others."""
    series = list(dict.fromkeys(series_of(row) for row in tickets))
    short = {one: one.rpartition("/")[0].replace("=", " ").replace("_", " ") for one in series}
    distinct = len(set(short.values())) == len(series) and all(short.values())
    return short if distinct else {one: one for one in series}


def _own(tickets: Sequence[Row], moved: Sequence[Row]) -> dict[str, str]:
    """Return {change: series} of the transfers that are the ticket's own training: of the same key."""
    keys = {(row["lineage"], row["round"]): row["key"] for row in tickets}
    return {
        change_of(row): series_of(row)
        for row in moved
        if row["start"] == "rewound" and keys.get((row["lineage"], row["round"])) == row["key"]
    }


def _targets(moved: Sequence[Row], known: Mapping[str, str]) -> dict[str, str]:
    """Return {change: its name}."""
    changes = {change_of(row): row["changes"] for row in moved}
    told = {change: known.get(change) or _told(one, list(changes.values())) for change, one in changes.items()}
    counts = list(told.values())
    return {
        change: name if counts.count(name) == 1 and name else f"{as_words('', changes[change])} {change[-40:]}"[:60]
        for change, name in told.items()
    }


def _told(change: Mapping[str, Any], among: Sequence[Mapping[str, Any]]) -> str:
    """Return the values of the fields in which a change differs from others, all where there are none."""
    fields = [
        field for field, value in change.items()
        if value is not None and (len(among) == 1 or any(other.get(field) != value for other in among))
    ]  # fmt: skip
    return " ".join(_word(change[field]) for field in fields)


def _word(value: Any) -> str:
    said = as_words("", value).strip() if not isinstance(value, str) else value
    return said.rpartition(":")[2].rpartition("/")[2].replace("_", " ")


def _by_seed(rows: Sequence[Row], column: str) -> dict[int, float]:
    return within_seeds((row["seed"], row[column]) for row in rows if is_there(row.get(column)))


def _gains(values: Values, others: Values, metric: Metric) -> dict[int, float]:
    return {seed: metric.gain(values[seed], others[seed]) for seed in sorted(values.keys() & others.keys())}


def _line(cell: Cell, test: str) -> dict[str, Any]:
    own = interval(cell.values.values())
    over = {name: interval(found.values()) for name, found in cell.over.items()}
    return {
        "source": cell.source,
        "target": cell.target,
        "round": cell.round,
        "remaining_weights": cell.remaining_weights,
        "n": own.n,
        test: own.mean,
        f"{test}_half_width": own.half_width,
        **{key: value for name, one in over.items() for key, value in _mean(f"to_{name}", one).items()},
    }


def _mean(name: str, found: Interval) -> dict[str, float | None]:
    return {name: found.mean, f"{name}_half_width": found.half_width}


def _text(line: Mapping[str, Any], metric: Metric) -> tuple[str, ...]:
    test = metric.column("test")
    over = (
        f"{points(line[f'to_{name}'], sign=True, metric=metric)}{spread(line[f'to_{name}_half_width'], metric)}"
        for name in BEYOND
    )
    return (
        line["source"],
        line["target"],
        str(line["round"]),
        percent(line["remaining_weights"]),
        f"{valued(line[test], metric)}{spread(line[f'{test}_half_width'], metric)}",
        *over,
        str(line["n"]),
    )

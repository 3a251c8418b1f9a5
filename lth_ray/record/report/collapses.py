"""Layer collapse in a study: how far weights can be removed before a layer is empty, of how far they could be."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lth_ray.analysis.statistics import Interval, interval, within_seeds
from lth_ray.config import ACCURACY, Metric, is_there
from lth_ray.record.report.listing import Listing
from lth_ray.record.report.summary import COMMON, SERIES, series_of
from lth_ray.record.report.tables import Row, framed

if TYPE_CHECKING:
    import pandas

FOUND = ("n", "critical_compression", "critical_half_width", "max_compression", "collapsed_from", "cut_from")


def collapses(tickets: Sequence[Row], metric: Metric = ACCURACY) -> "pandas.DataFrame":
    """Return a row for each series of tickets, where any ticket of the study has an empty layer.

    critical_compression: the highest compression, 1 / remaining weights, of those tickets that have no empty layer
    and are not sparser than one that has (Tanaka et al. 2020, section 3): mean over seeds, with critical_half_width,
    that of its 95 % t-interval.
    max_compression: eligible weights / layers. collapsed_from, cut_from: the lowest compression at which any seed's
    ticket has an empty layer, or is cut in two; missing where none is.
    n: seeds.
    """
    rows = [row for row in tickets if is_there(row.get("empty_layers")) and row["round"] > 0]
    series: dict[str, list[Row]] = {}
    for row in rows:
        series.setdefault(series_of(row), []).append(row)
    lines = [_line(name, own) for name, own in series.items()] if any(row["empty_layers"] for row in rows) else []
    return framed(lines, metric, [SERIES, *COMMON, *FOUND])


def collapses_listing(frame: "pandas.DataFrame") -> Listing | None:
    """Return the table in words; None where no layer was empty."""
    if frame.empty:
        return None
    headings = ("tickets", "critical", "maximal", "collapsed from", "cut in two from", "n")
    note = (
        "Compressions: how many times fewer weights there are. Critical: the highest without an empty layer, of those "
        "that were tried, mean ± half the 95 % t-interval over seeds. Maximal: weights / layers, beyond which some "
        "layer must be empty. Collapsed, cut in two: the lowest at which some seed's ticket has an empty layer, or no "
        "path from input to output. n counts seeds."
    )
    return Listing("Layer collapse", headings, [_text(line) for line in frame.to_dict("records")], headings[:1], note)


def collapsed_words(tickets: Sequence[Row]) -> str:
    """Return how many tickets have collapsed, "" where none has."""
    empty = sum(bool(row.get("empty_layers")) for row in tickets)
    cut = sum(row.get("cut") is True for row in tickets)
    if not empty and not cut:
        return ""
    return f"Tickets with a layer that keeps no weight: {empty}; cut in two, which are trained all the same: {cut}."


def _line(name: str, rows: Sequence[Row]) -> dict[str, Any]:
    by_seed: dict[int, list[Row]] = {}
    for row in rows:
        by_seed.setdefault(row["seed"], []).append(row)
    critical: Interval = interval(
        within_seeds((seed, found) for seed, own in by_seed.items() if (found := _critical(own)) is not None).values()
    )
    return {
        SERIES: name,
        **{column: rows[0].get(column) for column in COMMON},
        "n": len(by_seed),
        "critical_compression": critical.mean,
        "critical_half_width": critical.half_width,
        "max_compression": max(row["max_compression"] for row in rows),
        "collapsed_from": _least(row for row in rows if row["empty_layers"]),
        "cut_from": _least(row for row in rows if row["cut"]),
    }


def compression(row: Row) -> float:
    """Return how many times fewer weights a ticket has; infinity where it has none."""
    return float("inf") if not row["remaining_weights"] else 1 / row["remaining_weights"]


def _critical(rows: Sequence[Row]) -> float | None:
    bound = _least(row for row in rows if row["empty_layers"]) or float("inf")
    return max((compression(row) for row in rows if compression(row) < bound), default=None)


def _least(rows: Any) -> float | None:
    return min((compression(row) for row in rows), default=None)


def _text(line: Mapping[str, Any]) -> tuple[str, ...]:
    critical, half_width, *numbers = (f"{line[name]:,.4g}" if is_there(line[name]) else "" for name in FOUND[1:])
    return (str(line[SERIES]), " ± ".join(filter(None, [critical, half_width])), *numbers, str(line["n"]))

"""The summary as papers print it: a line for each kind of subnetwork, a column for each density."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from lth_ray.config import Metric, is_there
from lth_ray.record.report.listing import Listing
from lth_ray.record.report.tables import metric_of_frame
from lth_ray.record.report.wording import AT_END, SPREAD, counted, early_stop, labels, ranged, spread

if TYPE_CHECKING:
    import pandas

MOST_ROUNDS = 7  # columns that a printed page holds
ALIKE = 1.02  # densities of a round, where it is named by them
FIRST, LAST = "weights remaining", "n"


def paper_listings(summary: "pandas.DataFrame") -> list[Listing]:
    """Return the metric on the test set, and the early-stop step where validation was measured.

    Both are mean ± half the t-interval, n in seeds.
    """
    if summary.empty:
        return []
    metric = metric_of_frame(summary)
    judged = (
        f"Test {metric.called} at the last step, {SPREAD}; runs of one seed are averaged first, and n counts seeds."
    )
    found = [_pivot(summary, f"Test {metric.title}", judged, partial(_judged, metric=metric))]
    if summary["early_stop_step"].notna().any():
        step = f"Step of the least validation loss, {SPREAD}{AT_END}; n counts seeds."
        found.append(_pivot(summary, "Early-stop step", step, early_stop))
    return found


def rounds_shown(summary: "pandas.DataFrame", most: int) -> list[int]:
    """Return the rounds that a table has room for: the dense one, those that most kinds of subnetwork have,
    then others.
    """
    counts = summary.groupby("round").size()
    common = [number for number, n in counts.items() if n == counts.max()]
    picked = {*_evenly(common, most - 1), *([0] if 0 in counts else [])}
    others = [number for number in counts.index if number not in picked]
    return sorted(picked | set(_evenly(others, most - len(picked)) if len(common) < most else []))


def density_heading(lines: "pandas.DataFrame") -> str:
    """Return the density of a round, or its number where subnetworks differ in density."""
    weights = lines["remaining_weights"]
    if weights.max() > ALIKE * weights.min():
        return f"round {lines['round'].iloc[0]}"
    return f"{100 * weights.mean():.3g} %"


def _evenly(rounds: list[int], most: int) -> list[int]:
    """Return at most so many, the last among them."""
    if len(rounds) <= most:
        return rounds
    return [rounds[(i + 1) * len(rounds) // most - 1] for i in range(most)]


def _pivot(summary: "pandas.DataFrame", title: str, note: str, cell: Callable[[Mapping[str, Any]], str]) -> Listing:
    frame = summary.assign(label=labels(summary))
    rounds = rounds_shown(frame, MOST_ROUNDS)
    headings = [density_heading(frame[frame["round"] == number]) for number in rounds]
    lines = []
    for label, rows in frame.groupby("label", sort=False):
        own = {row["round"]: row for row in rows.to_dict("records")}
        cells = tuple(cell(own[number]) if number in own else "" for number in rounds)
        if any(cells):
            lines.append((str(label), *cells, _n([row for number, row in own.items() if number in rounds])))
    return Listing(title, (FIRST, *headings, LAST), lines, (FIRST,), note)


def _n(rows: list[dict[str, Any]]) -> str:
    counts = list(dict.fromkeys(counted(row["seeds"], row["runs"]) for row in rows))
    seeds = [row["seeds"] for row in rows]
    return counts[0] if len(counts) == 1 else ranged(*dict.fromkeys((min(seeds), max(seeds))))


def _judged(line: Mapping[str, Any], metric: Metric) -> str:
    test = metric.column("test")
    if not is_there(line[test]):
        return "diverged"
    return f"{metric.bare(line[test])}{spread(line[f'{test}_half_width'], metric)}"

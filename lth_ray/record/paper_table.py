"""The summary as papers print it: a line for each kind of subnetwork, a column for each density."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from lth_ray.analysis.statistics import CONFIDENCE
from lth_ray.record.listing import Listing
from lth_ray.record.summary import is_there
from lth_ray.record.wording import labels, runs_and_seeds

if TYPE_CHECKING:
    import pandas

MOST_ROUNDS = 7  # columns that a printed page holds
ALIKE = 1.02  # densities of a round, where it is named by them
FIRST, LAST = "weights remaining", "n"


def paper_listings(summary: "pandas.DataFrame") -> list[Listing]:
    """Test accuracy, and the early-stop step where validation was measured: mean ± half the t-interval, and n."""
    if summary.empty:
        return []
    interval = f"half the {100 * CONFIDENCE:g} % t-interval"
    accuracy = (
        f"Mean test accuracy at the last step, ± {interval} over runs; n counts runs, and seeds where they are fewer."
    )
    found = [_pivot(summary, "Test accuracy (%)", accuracy, _accuracy)]
    if summary["early_stop_step"].notna().any():
        step = "Mean step of the least validation loss, and its minimum to maximum over runs."
        found.append(_pivot(summary, "Early-stop step", step, _early_stop))
    return found


def rounds_shown(summary: "pandas.DataFrame", most: int) -> list[int]:
    """The rounds that a table has room for: the dense one, those that most kinds of subnetwork have, then others."""
    counts = summary.groupby("round").size()
    common = [number for number, n in counts.items() if n == counts.max()]
    picked = {*_evenly(common, most - 1), *([0] if 0 in counts else [])}
    others = [number for number in counts.index if number not in picked]
    return sorted(picked | set(_evenly(others, most - len(picked)) if len(common) < most else []))


def density_heading(lines: "pandas.DataFrame") -> str:
    """The density of a round, or its number where subnetworks differ in density."""
    weights = lines["remaining_weights"]
    if weights.max() > ALIKE * weights.min():
        return f"round {lines['round'].iloc[0]}"
    return f"{100 * weights.mean():.3g} %"


def _evenly(rounds: list[int], most: int) -> list[int]:
    """At most so many, the last among them."""
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
    told = list(dict.fromkeys(runs_and_seeds(row["runs"], row["seeds"]) for row in rows))
    return told[0] if len(told) == 1 else f"{min(row['runs'] for row in rows)}-{max(row['runs'] for row in rows)}"


def _accuracy(line: Mapping[str, Any]) -> str:
    if not is_there(line["test_accuracy"]):
        return "diverged"
    half_width = line["test_accuracy_half_width"]
    spread = f" ± {100 * half_width:.2f}" if is_there(half_width) else ""
    return f"{100 * line['test_accuracy']:.2f}{spread}"


def _early_stop(line: Mapping[str, Any]) -> str:
    if not is_there(line["early_stop_step"]):
        return ""
    low, high = line["early_stop_step_min"], line["early_stop_step_max"]
    return f"{line['early_stop_step']:,.0f}" + (f" ({low:,.0f}-{high:,.0f})" if low < high else "")

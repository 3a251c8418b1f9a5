"""Ours beside theirs in words, for a page and for a terminal."""

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from lth_ray import printing
from lth_ray.config import ACCURACY, Metric, is_there
from lth_ray.record.report.listing import Listing
from lth_ray.record.report.tables import metric_of_frame
from lth_ray.record.report.wording import ranged

if TYPE_CHECKING:
    import pandas
    from rich.console import Group

HEADINGS = ("what", "n", "ours", "theirs", "difference", "theirs lies", "source")


def said(metric: Metric) -> dict[str, str]:
    """Return {quantity: its words}."""
    test = metric.column("test")
    return {
        test: f"test {metric.called}",
        "early_stop_step": "early-stop step",
        f"best_{test}": f"test {metric.called}, best round",
        "falls_below_dense": f"{metric.called} stays {metric.worse_side} dense from (% of weights)",
        "largest_compression": f"largest compression at dense {metric.called} (x)",
        "stable_from": "copies stable from (step)",
        "rewinding_suffices_from": "tickets match dense from rewind step",
        "share_travelled": "distance of stable copies, of that travelled",
        "order_distance": "L2 distance to data order",
        "drawn_at": "mask drawn at",
    }


NOTE = (
    "Ours: mean over seeds, ± half the 95 % t-interval. Theirs lies inside where it meets our range from minimum to "
    "maximum. Marks: C the authors' code, D their data, P the paper; N third-party notes and R memory are unchecked, "
    "and numbers are not comparable where our study does something otherwise: nothing is concluded from either."
)


def paper_listing(frame: "pandas.DataFrame") -> Listing | None:
    """Return the comparison with a note; None where nothing is comparable."""
    if frame.empty:
        return None
    lines = [paper_line(line, metric_of_frame(frame)) for line in frame.to_dict("records")]
    return Listing("Against the papers", HEADINGS, lines, ("what", "theirs lies", "source"), NOTE)


def paper_tables(frame: "pandas.DataFrame") -> "Group":
    """Return the comparison for a terminal, a table for each source."""
    from rich.console import Group
    from rich.markup import escape

    tables = []
    for source, rows in frame.groupby("source", sort=False):
        shown = HEADINGS[:-1]
        numbers = set(shown) - {"what", "theirs lies"}
        table = printing.table(*shown, title=f"against {escape(source)}", right=numbers)
        for line in rows.to_dict("records"):
            table.add_row(*map(escape, paper_line(line, metric_of_frame(frame))[:-1]))
        tables.append(table)
    return Group(*tables, NOTE)


def paper_line(line: Mapping[str, Any], metric: Metric = ACCURACY) -> tuple[str, ...]:
    """Return one row under HEADINGS."""
    digits = 0 if line["unit"] == "steps" else 2
    spread = f" ± {line['ours_half_width']:,.{digits}f}" if is_there(line["ours_half_width"]) else ""
    theirs = f" ± {line['theirs_spread']:g}" if is_there(line["theirs_spread"]) else ""
    return (
        _what(line, said(metric)[line["quantity"]]),
        str(line["n"]),
        f"{line['ours']:,.{digits}f}{spread}",
        f"{_theirs(line, digits)}{theirs}",
        f"{line['difference']:+,.{digits}f}",
        _lies(line),
        line["source"],
    )


def _what(line: Mapping[str, Any], quantity: str) -> str:
    """Return "ticket (iterative/k0) at 21 %: test accuracy, from dense (pp)"."""
    at = line["remaining_weights"]
    where = (
        f" at {ranged(*(f'{100 * end:.3g}' for end in sorted({*at}, reverse=True)))} %" if at and max(at) < 1 else ""
    )
    subnetwork = line["subnetwork"].replace("_", " ")
    series = f" ({line['series']})" if line["series"] else ""
    return f"{subnetwork}{series}{where}: {quantity}{''.join(_unit(line, quantity))}"


def _unit(line: Mapping[str, Any], quantity: str) -> Iterator[str]:
    against = line["relative_to"].replace("_", " ").replace("@", ", ")
    if "(" in quantity:  # it names its unit, and has what it is relative to in its meaning
        return
    if line["unit"] == "x faster":
        yield f", times faster than {against}"
    elif against:
        yield f", change from {against} ({line['unit']})"
    elif line["unit"]:
        yield f" ({line['unit']})"


def _theirs(line: Mapping[str, Any], digits: int) -> str:
    low, high = line["theirs_low"], line["theirs_high"]
    if low < high and math.isfinite(high - low):
        return ranged(f"{low:g}", f"{high:g}")
    return f"{line['relation']} {line['theirs']:,.{digits}f}".strip()


def _lies(line: Mapping[str, Any]) -> str:
    """Return inside or outside our spread, where that can be said."""
    if line["doubt"]:
        return f"({line['doubt']})"
    if not is_there(line["in_spread"]):
        return "(no spread)"
    return "inside" if line["in_spread"] else "outside"

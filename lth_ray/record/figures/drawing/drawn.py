"""The numbers that a figure shows, kept as they are drawn, and written beside it as CSV."""

import csv
import io
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = ("panel", "x_axis", "y_axis", "line", "n", "x", "mean", "low", "high")
COUNTED = re.compile(r" \(n = .*\)$", re.DOTALL)  # which has a column of its own

_DRAWN: "WeakKeyDictionary[Axes, list[dict[str, Any]]]" = WeakKeyDictionary()


def keep(panel: "Axes", line: str, points: Iterable[Mapping[str, Any]]) -> None:
    """Keep what is drawn in a panel.

    line: its name; without the n that a legend has.
    points: x, mean, low and high, the ends of the mean's interval, and n, as far as they are known.
    """
    name = " ".join(COUNTED.sub("", line).split())
    _DRAWN.setdefault(panel, []).extend({"line": name, **point} for point in points)


def drawn(figure: "Figure") -> list[dict[str, Any]]:
    """Return a row for every point of a figure, under COLUMNS, in the units of its axes."""
    return [
        {
            "panel": panel.get_title(loc="left") or panel.get_title(),
            "x_axis": panel.get_xlabel(),
            "y_axis": panel.get_ylabel(),
            **row,
        }
        for panel in figure.axes
        for row in _DRAWN.get(panel, [])
    ]


def as_csv(figure: "Figure") -> str:
    """Return the numbers that a figure shows as CSV; what is not known is empty."""
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _written(value) for name, value in row.items()} for row in drawn(figure))
    return file.getvalue()


def _written(value: Any) -> Any:
    if isinstance(value, float):
        return "" if value != value else f"{value:.10g}"
    return "" if value is None else value

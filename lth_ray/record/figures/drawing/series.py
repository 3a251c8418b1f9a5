"""A summary's lines, and their drawing over remaining weights."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lth_ray.config import Metric, is_there
from lth_ray.record.figures.drawing.line_styles import GREY, Look, beside
from lth_ray.record.figures.drawing.lines import SPREAD, Line, counted, draw, moved_by
from lth_ray.record.figures.drawing.panels import grid, level, weights_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DENSE = f"dense, {SPREAD}"  # as long as its name in a legend gets
OPEN = "the last step of some runs, or later"
UP = 10  # matplotlib's CARETUPBASE
MOST_LEVELS = 2
# What is further from the dense network's value is left to the table, because it would flatten the rest.
FAR, FAR_OF_DENSE = 0.15, 0.5  # of the metric's range; of the value itself where the range is endless


@dataclass(frozen=True)
class Series:
    """One line of the figure: rows of the summary, from dense to sparse."""

    name: str
    rows: tuple[Mapping[str, Any], ...]
    look: Look

    @property
    def is_branch(self) -> bool:
        return bool(self.rows[0]["branch"])

    @property
    def label(self) -> str:
        return f"{self.name} ({counted([(row['runs'], row['seeds']) for row in self.rows])})"

    @property
    def percents(self) -> list[float]:
        return [100 * row["remaining_weights"] for row in self.rows]

    def line(self, column: str, scale: float = 1.0) -> Line:
        """Return the column's means over per cent of weights, and their intervals."""
        rows = [row for row in self.rows if is_there(row[column])]
        mean, low, high = (tuple(scale * _ends(row, column)[i] for row in rows) for i in range(3))
        n = tuple(row["seeds"] for row in rows)
        return Line(self.label, tuple(100 * row["remaining_weights"] for row in rows), mean, low, high, n)


def draw_series(panel: "Axes", series: Sequence[Series], column: str, scale: float, most: int = 10) -> None:
    """Draw every line of a column of the summary, with the dense networks' level and its interval.

    most: ticks.
    """
    for (mean, low, high), seeds in _dense_levels(series, column):
        dense_level(panel, (scale * mean, scale * low, scale * high), seeds)
    for i, (line, aside) in enumerate(zip(series, beside(len(series)), strict=True)):
        draw(panel, line.line(column, scale), line.look, order=10 - i / 100, aside=aside)  # the first lie on top
    weights_axis(panel, [percent for line in series for percent in line.percents], most)
    grid(panel)


def dense_level(panel: "Axes", found: tuple[float, float, float], seeds: int) -> None:
    """Draw the level of the dense networks in a panel.

    found: its mean and the ends of its interval. seeds: n; under two there is none.
    """
    mean, *ends = found
    level(panel, mean, DENSE if seeds > 1 else "dense", (ends[0], ends[1]) if seeds > 1 else None, seeds)


def _dense_levels(series: Sequence[Series], column: str) -> list[tuple[tuple[float, float, float], int]]:
    """Return the dense networks' (mean, its interval's ends) and seeds, where so few that lines across the figure do
    not confuse.
    """
    rows = _dense(series, column)
    levels = {round(row[column], 6): (_ends(row, column), row["seeds"]) for row in rows}
    return [levels[mean] for mean in sorted(levels)] if len(levels) <= MOST_LEVELS else []


def _ends(row: Mapping[str, Any], column: str) -> tuple[float, float, float]:
    """Return a column's mean and the ends of its interval."""
    mean, half = row[column], row[f"{column}_half_width"]
    half = half if is_there(half) else 0.0
    return mean, mean - half, mean + half


def mark_open(panel: "Axes", series: Sequence[Series]) -> None:
    """Put an arrow's head on the intervals of early-stop steps that are the last one of some runs.

    These might have come later.
    """
    for line, aside in zip(series, beside(len(series)), strict=True):
        rows = [row for row in line.rows if row["at_end"] and is_there(row["early_stop_step"])]
        x, y = [100 * row["remaining_weights"] for row in rows], [_ends(row, "early_stop_step")[2] for row in rows]
        seen = panel.get_legend_handles_labels()[1]
        if rows:
            panel.plot(
                x,
                y,
                linestyle="",
                marker=UP,
                markersize=7,
                color=GREY,
                markeredgewidth=0,
                zorder=12,
                transform=moved_by(panel, aside),
                label="_" if OPEN in seen else OPEN,
            )


def _dense(series: Sequence[Series], column: str) -> list[Mapping[str, Any]]:
    """Return of round 0 the networks themselves: a branch that hangs on it, such as a supermask, is none."""
    rows = [row for line in series if not line.is_branch for row in line.rows if row["round"] == 0]
    return [row for row in rows if is_there(row[column])]


def worst_shown(series: Sequence[Series], shown: Sequence[Series], metric: Metric) -> float | None:
    """Return the value beyond which a panel of the lines `shown` is cut: what a collapsed network reaches.

    None where none of them is better, and for a metric without bounds, such as a game's return, of which no value is
    known to be far from another.
    """
    if not (math.isfinite(metric.lowest) or math.isfinite(metric.highest)):
        return None
    dense = metric.worst(row[metric.column("test")] for row in _dense(series, metric.column("test")))
    if dense is None:
        return None
    room = FAR * (metric.highest - metric.lowest)
    room = room if math.isfinite(room) else FAR_OF_DENSE * abs(dense)
    bound = dense - room if metric.better == "higher" else dense + room
    means = _means(shown, metric)
    return bound if not means or any(metric.beats(mean, bound) for mean in means) else None


def _means(series: Sequence[Series], metric: Metric) -> list[float]:
    means = [row[metric.column("test")] for line in series for row in line.rows]
    return [mean for mean in means if is_there(mean)]


def leave_out_the_worst(panel: "Axes", series: Sequence[Series], bound: float | None, metric: Metric) -> None:
    """Cut the axis at `bound` where lines go beyond it, and say so."""
    cut = 0 if bound is None else sum(metric.beats(bound, mean) for mean in _means(series, metric))
    if bound is None or not cut:
        return
    is_higher = metric.better == "higher"
    low, high = panel.get_ylim()
    panel.set_ylim(*((metric.scale * bound, high) if is_higher else (low, metric.scale * bound)))
    said = f"{cut} point{'s' if cut > 1 else ''} {'below' if is_higher else 'above'}"
    y, side = (0.02, "bottom") if is_higher else (0.98, "top")
    panel.text(0.02, y, said, transform=panel.transAxes, fontsize=7.5, color=GREY, va=side)

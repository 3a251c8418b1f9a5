"""The papers' figures: accuracy and the time to learn against remaining weights (Frankle & Carbin 2019)."""

import io
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lth_ray.record.wording import labels
from lth_ray.store import Store, study_path

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's colours for every kind of sight, the yellow left out; neighbours differ in grey too.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY, LIGHT = "#444444", "#dddddd"
STYLE = {
    "font.family": "sans-serif", "font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9, "legend.fontsize": 8,
    "xtick.labelsize": 8, "ytick.labelsize": 8, "axes.spines.top": False, "axes.spines.right": False,
    "axes.edgecolor": GREY, "axes.linewidth": 0.8, "svg.hashsalt": "lth_ray", "svg.fonttype": "path",
}  # fmt: skip
LOWEST = 0.15  # accuracies further under the dense network's are left to the table: they would flatten the rest
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.5, 1, 1.5)))

BAND = 0.13  # opacity


@dataclass(frozen=True)
class Series:
    """One line of the figure: rows of the summary, from dense to sparse."""

    label: str
    rows: tuple[Mapping[str, Any], ...]
    colour: str
    marker: str
    dashes: Any
    is_branch: bool

    def points(self, name: str, scale: float = 1.0) -> tuple[list[float], list[float], list[list[float]]]:
        """x (per cent of weights), mean, and [minima, maxima]."""
        rows = [row for row in self.rows if _is_there(row[name])]
        x = [100 * row["remaining_weights"] for row in rows]
        y = [scale * row[name] for row in rows]
        return x, y, [[scale * row[f"{name}_{end}"] for row in rows] for end in ("min", "max")]


def accuracy_figure(frame: "pandas.DataFrame", title: str = "", caption: str = "") -> "Figure":
    """Draws a summary: the mean of each series at each density, in a band from its minimum to its maximum.

    Left, test accuracy at the last step; right, the early-stop step, where validation was measured. Remaining weights
    fall from left to right on a log scale; the dotted line is the dense network, round 0. Tickets are solid, branches
    hollow. n is in the legend.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    series = lines_of(frame)
    has_steps = any(_is_there(row["early_stop_step"]) for line in series for row in line.rows)
    page = Page.of(len(series), has_steps, caption)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(page.width, page.height))
        FigureCanvasAgg(figure)
        panels = figure.subplots(1, 2 if has_steps else 1, squeeze=False)[0]
        _draw(panels[0], series, "test_accuracy", 100.0)
        panels[0].set_ylabel("test accuracy (%)")
        _leave_out_the_lowest(panels[0], series)
        if has_steps:
            _draw(panels[1], series, "early_stop_step", 1.0)
            panels[1].set_ylabel("early-stop step")
            panels[1].set_ylim(bottom=0)
        page.fit(figure, title, panels[0].get_legend_handles_labels())
    return figure


@dataclass(frozen=True)
class Page:
    """The layout, in inches from the bottom: caption, legend, panels, title."""

    width: float
    columns: int
    legend: float
    caption: str
    TEXT_LINE, LEGEND_LINE, PANEL, AXIS, TITLE = 0.145, 0.19, 2.7, 0.5, 0.32

    @classmethod
    def of(cls, num_series: int, is_wide: bool, caption: str) -> "Page":
        width, columns, characters = (8.6, 3, 150) if is_wide else (5.4, 2, 92)
        wrapped = "\n".join(part for line in caption.splitlines() for part in textwrap.wrap(line, characters))
        return cls(width, columns, cls.LEGEND_LINE * math.ceil(num_series / columns), wrapped)

    @property
    def under(self) -> float:
        return 0.08 + self.TEXT_LINE * len(self.caption.splitlines())

    @property
    def height(self) -> float:
        return self.under + self.legend + self.AXIS + self.PANEL + self.TITLE

    def fit(self, figure: "Figure", title: str, entries: tuple[list[Any], list[str]]) -> None:
        """Puts the panels into their place, and the words around them."""
        bottom = (self.under + self.legend + self.AXIS) / self.height
        figure.subplots_adjust(0.55 / self.width, bottom, 1 - 0.1 / self.width, 1 - self.TITLE / self.height, 0.19)
        figure.text(0.1 / self.width, 1 - 0.08 / self.height, title, fontsize=10.5, fontweight="bold", va="top")
        figure.text(0.1 / self.width, 0.05 / self.height, self.caption, fontsize=7.5, color=GREY, va="bottom")
        place = (0.5, self.under / self.height)
        figure.legend(
            *entries, loc="lower center", bbox_to_anchor=place, ncols=self.columns, frameon=False, borderaxespad=0,
            borderpad=0, handlelength=3,
        )  # fmt: skip


def write_figures(store: Store, name: str, frame: "pandas.DataFrame", caption: str = "") -> tuple[str, ...]:
    """Writes studies/NAME/accuracy.svg and .png; their paths in the store. Nothing where nothing is finished."""
    import matplotlib

    if frame.empty:
        return ()
    figure = accuracy_figure(frame, name, caption)
    paths = []
    for kind, options in (("svg", {"metadata": {"Date": None}}), ("png", {"dpi": 200})):
        file = io.BytesIO()
        with matplotlib.rc_context(STYLE):
            figure.savefig(file, format=kind, **options)
        paths.append(study_path(name, f"accuracy.{kind}"))
        store.put(paths[-1], file.getvalue())
    return tuple(paths)


def lines_of(frame: "pandas.DataFrame") -> list[Series]:
    """The lines to draw, tickets first.

    Where there are more lines than colours, a colour and marker is a series of lineages, and the line style alone
    tells what was done to their tickets.
    """
    lines: dict[tuple[bool, str, str], list[Mapping[str, Any]]] = {}
    for label, row in zip(labels(frame), frame.to_dict("records"), strict=True):
        lines.setdefault((row["branch"] != "", label, row["series"]), []).append(row)
    ordered = sorted(lines.items(), key=lambda line: line[0][0])
    lineages = list(dict.fromkeys(name for _, _, name in lines))
    seen: dict[str, int] = dict.fromkeys(lineages, 0)
    found = []
    for i, ((is_branch, label, name), rows) in enumerate(ordered):
        look, style = (lineages.index(name) if len(lines) > len(COLOURS) else i), seen[name]
        seen[name] += 1
        found.append(
            Series(
                f"{label} (n = {_runs(rows)})", tuple(sorted(rows, key=lambda row: -row["remaining_weights"])),
                COLOURS[look % len(COLOURS)], MARKERS[(look + look // len(COLOURS)) % len(MARKERS)],
                DASHES[style % len(DASHES)], is_branch,
            )
        )  # fmt: skip
    return found


def _runs(rows: Sequence[Mapping[str, Any]]) -> str:
    """n of every point, with the seeds where several runs share one."""
    runs, seeds = _span([row["runs"] for row in rows]), _span([row["seeds"] for row in rows])
    return runs if runs == seeds else f"{runs} of {seeds} seeds"


def _span(values: Sequence[int]) -> str:
    return str(min(values)) if min(values) == max(values) else f"{min(values)}-{max(values)}"


def _draw(panel: "Axes", series: Sequence[Series], name: str, scale: float) -> None:
    for level in _dense_levels(series, name):
        panel.axhline(scale * level, color=GREY, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1)
        panel.annotate(
            "dense", (1, scale * level), (0, 2), xycoords=("axes fraction", "data"), textcoords="offset points",
            ha="right", fontsize=7.5, color=GREY,
        )  # fmt: skip
    for i, line in enumerate(series):
        x, y, (low, high) = line.points(name, scale)
        panel.fill_between(x, low, high, color=line.colour, alpha=BAND, linewidth=0, zorder=2)
        panel.plot(
            x, y, label=line.label, color=line.colour, marker=line.marker, markersize=4.2,
            markerfacecolor="white" if line.is_branch else line.colour, markeredgewidth=1.1, linewidth=1.4,
            linestyle=line.dashes, zorder=10 - i / 100,
        )  # fmt: skip
    _weights_axis(panel, series)
    panel.grid(axis="y", color=LIGHT, linewidth=0.6)
    panel.set_axisbelow(True)


def _dense_levels(series: Sequence[Series], name: str) -> list[float]:
    """The dense networks' means, where there are so few that lines across the figure do not confuse."""
    levels = {round(row[name], 6) for line in series for row in line.rows if row["round"] == 0 and _is_there(row[name])}
    return sorted(levels) if len(levels) <= 2 else []


def _weights_axis(panel: "Axes", series: Sequence[Series]) -> None:
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullFormatter

    percents = [100 * row["remaining_weights"] for line in series for row in line.rows]
    ticks = density_ticks(percents)
    panel.set_xscale("log")
    panel.invert_xaxis()
    panel.xaxis.set_major_locator(FixedLocator(ticks))
    panel.xaxis.set_major_formatter(FixedFormatter([_short(tick) for tick in ticks]))
    panel.xaxis.set_minor_locator(FixedLocator(sorted(set(percents))))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.set_xlabel("weights remaining (%)")


def density_ticks(percents: Sequence[float], most: int = 10) -> list[float]:
    """The densities themselves, from the largest, those that would print over each other left out."""
    ordered = sorted(set(percents), reverse=True)
    if not ordered:
        return []
    apart = max(0.02, math.log(ordered[0] / ordered[-1]) / most)
    ticks = [ordered[0]]
    for percent in ordered[1:]:
        if math.log(ticks[-1] / percent) >= apart:
            ticks.append(percent)
    return ticks


def _short(percent: float) -> str:
    """Three significant digits: 100, 51.2, 3.52."""
    return f"{percent:.3g}" if percent < 99.95 else f"{percent:.0f}"


def _leave_out_the_lowest(panel: "Axes", series: Sequence[Series]) -> None:
    """Cuts the axis under what a collapsed network reaches, and says so."""
    dense = [row["test_accuracy"] for line in series for row in line.rows if row["round"] == 0]
    dense = [value for value in dense if _is_there(value)]
    means = [row["test_accuracy"] for line in series for row in line.rows if _is_there(row["test_accuracy"])]
    floor = min(dense) - LOWEST if dense else 0.0
    cut = sum(value < floor for value in means)
    if not cut:
        return
    panel.set_ylim(bottom=100 * floor)
    said = f"{cut} point{'s' if cut > 1 else ''} below"
    panel.text(0.02, 0.02, said, transform=panel.transAxes, fontsize=7.5, color=GREY, va="bottom")


def _is_there(value: Any) -> bool:
    return value is not None and not math.isnan(value)

"""What the figures are made of: looks, axes and lines with their spread."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lth_ray.record.summary import is_there

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = Mapping[str, Any]

# Okabe & Ito's colours for every kind of sight, the yellow left out; neighbours differ in grey too.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY, LIGHT = "#444444", "#dddddd"
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.5, 1, 1.5)))
BAND = 0.13  # opacity
ENDS = 0.05, 0.85  # of the colour map, between which an ordered quantity runs


@dataclass(frozen=True)
class Look:
    """How a line is drawn."""

    colour: str
    marker: str = "o"
    dashes: Any = "-"
    is_hollow: bool = False


def looks(count: int) -> list[Look]:
    """One for each of a few lines of different kinds."""
    return [Look(COLOURS[i % len(COLOURS)], MARKERS[(i + i // len(COLOURS)) % len(MARKERS)]) for i in range(count)]


def ramp(count: int) -> list[Look]:
    """One for each value of an ordered quantity, dark to light."""
    import matplotlib
    from matplotlib.colors import to_hex

    shades = matplotlib.colormaps["viridis"]
    places = [ENDS[0] + (ENDS[1] - ENDS[0]) * i / max(1, count - 1) for i in range(count)]
    return [Look(to_hex(shades(place)), MARKERS[i % len(MARKERS)]) for i, place in enumerate(places)]


@dataclass(frozen=True)
class Line:
    """y over x: mean, least and greatest of the runs at each x."""

    label: str
    x: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def gather(label: str, rows: Iterable[Row], x: str, y: str, *, x_scale: float = 1.0, scale: float = 1.0) -> Line:
    """The line of the rows that have both columns. A result that several rows show counts once; n joins the label."""
    kept = {
        (row.get("key"), row["seed"], i if row.get("key") is None else 0): row
        for i, row in enumerate(rows) if is_there(row.get(x)) and is_there(row.get(y))
    }  # fmt: skip
    found: dict[float, list[Row]] = {}
    for row in kept.values():
        found.setdefault(round(x_scale * row[x], 9), []).append(row)
    ordered = [(at, [scale * row[y] for row in found[at]]) for at in sorted(found)]
    n = counted([(len(same), len({row["seed"] for row in same})) for same in found.values()])
    return Line(
        f"{label} ({n})", tuple(at for at, _ in ordered),
        tuple(math.fsum(values) / len(values) for _, values in ordered),
        tuple(min(values) for _, values in ordered), tuple(max(values) for _, values in ordered),
    )  # fmt: skip


def counted(points: Sequence[tuple[int, int]]) -> str:
    """ "n = 3", of the (runs, seeds) of every point, with the seeds where several runs share one."""
    runs, seeds = _span([runs for runs, _ in points]), _span([seeds for _, seeds in points])
    return f"n = {runs}" if runs == seeds else f"n = {runs} of {seeds} seed{'' if seeds == '1' else 's'}"


def _span(values: Sequence[int]) -> str:
    if not values:
        return "0"
    return str(min(values)) if min(values) == max(values) else f"{min(values)}-{max(values)}"


def draw(
    panel: "Axes", line: Line, look: Look, *, label: bool = True, has_band: bool = True, width: float = 1.4,
    order: float = 5.0,
) -> None:  # fmt: skip
    """A line with its markers, in a band from least to greatest. label: put it into the legend. order: the highest is
    on top."""
    if has_band:
        panel.fill_between(line.x, line.low, line.high, color=look.colour, alpha=BAND, linewidth=0, zorder=2)
    if has_band and len(line.x) == 1:  # a band has no width there
        panel.vlines(line.x, line.low, line.high, color=look.colour, linewidth=1.0, zorder=2)
    panel.plot(
        line.x, line.mean, label=line.label if label else "_", color=look.colour, marker=look.marker, markersize=4.2,
        markerfacecolor="white" if look.is_hollow else look.colour, markeredgewidth=1.1, linewidth=width,
        linestyle=look.dashes, zorder=order,
    )  # fmt: skip


def grid(panel: "Axes") -> None:
    panel.grid(axis="y", color=LIGHT, linewidth=0.6)
    panel.set_axisbelow(True)


def level(panel: "Axes", y: float, text: str, *, at: str = "right") -> None:
    """A dotted line across the panel, named at its left or right end."""
    panel.axhline(y, color=GREY, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1)
    place, offset = (1, 0) if at == "right" else (0, 3)
    panel.annotate(
        text, (place, y), (offset, 2), xycoords=("axes fraction", "data"), textcoords="offset points", ha=at,
        fontsize=7.5, color=GREY, zorder=6, bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.5},
    )  # fmt: skip


def weights_axis(panel: "Axes", percents: Iterable[float], most: int = 10) -> None:
    """Remaining weights fall from left to right on a log scale, with ticks at densities that were measured."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullFormatter

    percents = sorted(set(percents))
    ticks = density_ticks(percents, most)
    panel.set_xscale("log")
    if not panel.xaxis_inverted():
        panel.invert_xaxis()
    panel.xaxis.set_major_locator(FixedLocator(ticks))
    panel.xaxis.set_major_formatter(FixedFormatter([short(tick) for tick in ticks]))
    panel.xaxis.set_minor_locator(FixedLocator(percents))
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


def short(percent: float) -> str:
    """Three significant digits: 100, 51.2, 3.52."""
    return f"{percent:.3g}" if percent < 99.95 else f"{percent:.0f}"


def steps_axis(panel: "Axes", steps: Iterable[float]) -> None:
    """Optimizer steps on a log scale that begins with 0, where one was measured."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    ordered = sorted(set(steps))
    positive = [step for step in ordered if step > 0]
    if positive and len(ordered) > 1:
        panel.set_xscale("symlog", linthresh=positive[0], linscale=0.6)
        transform = panel.xaxis.get_transform()
        first, last = transform.transform([ordered[0], ordered[-1]])
        room = 0.05 * (last - first)
        panel.set_xlim(*transform.inverted().transform([first - room, last + room]))
    ticks = _apart([panel.transData.transform((step, 0))[0] for step in ordered], ordered)
    panel.xaxis.set_major_locator(FixedLocator(ticks))
    panel.xaxis.set_major_formatter(FixedFormatter([compact(tick) for tick in ticks]))
    panel.xaxis.set_minor_locator(NullLocator())


def compact(steps: float) -> str:
    """0, 500, 2k, 12.5k, 1M"""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if steps >= size:
            return f"{steps / size:.3g}{unit}"
    return f"{steps:g}"


def _apart(places: Sequence[float], values: Sequence[float], least: float = 26.0) -> list[float]:
    """The values whose places, in points or so, do not print over each other."""
    found: list[tuple[float, float]] = []
    for place, value in zip(places, values, strict=True):
        if not found or place - found[-1][0] >= least:
            found.append((place, value))
    return [value for _, value in found]


def evenly(values: Sequence[Any], most: int) -> list[Any]:
    """At most so many of the values, first and last among them."""
    if len(values) <= most:
        return list(values)
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]


def name_panel(panel: "Axes", name: str) -> None:
    """Writes a panel's name over its left end, smaller where it is long."""
    size = next((size for longest, size in ((37, 8.5), (42, 7)) if len(name) <= longest), 6)
    panel.set_title(name, loc="left", fontweight="bold", fontsize=size)


def by_label(panels: Iterable["Axes"]) -> tuple[list[Any], list[str]]:
    """The legend entries of several panels, each name once."""
    found: dict[str, Any] = {}
    for panel in panels:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return list(found.values()), list(found)

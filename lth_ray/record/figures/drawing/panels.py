"""The common parts of panels: axes, reference lines, names and legends."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lth_ray.record.figures.drawing.drawn import keep
from lth_ray.record.figures.drawing.line_styles import GREY, LIGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REFERENCE = "#ececec"  # the dense network's band
ALONE = 1.5  # the reach of an axis around a single density
LARGEST, SMALLEST = 8.5, 5.5  # points of a panel's name
CORNERS = ((0.98, 0.99), (0.02, 0.99), (0.98, 0.01), (0.02, 0.01))  # of a panel
MARKER = 5.0  # pixels or so, half of one
BOLD = 0.66  # the width of a bold letter, of its size


def grid(panel: "Axes") -> None:
    panel.grid(axis="y", color=LIGHT, linewidth=0.6)
    panel.set_axisbelow(True)


def level(panel: "Axes", y: float, label: str, spread: tuple[float, float] | None = None, n: int | None = None) -> None:
    """Draw a dotted line across the panel, in a grey band from least to greatest; its label is for the
    legend, once.

    n: seeds.
    """
    low, high = spread or (None, None)
    keep(panel, label, [{"mean": y, "low": low, "high": high, "n": n}])
    seen = panel.get_legend_handles_labels()[1]
    if spread is not None:
        panel.axhspan(*spread, color=REFERENCE, linewidth=0, zorder=0)
    panel.axhline(y, color=GREY, linewidth=1.0, linestyle=(0, (1, 2)), zorder=1, label="_" if label in seen else label)


def from_zero(panel: "Axes") -> None:
    """Begin the panel's vertical axis at 0, with room over what is drawn."""
    top = panel.dataLim.y1
    panel.set_ylim(0, 1.06 * top if top > 0 else None)


def weights_axis(panel: "Axes", percents: Iterable[float], most: int = 10) -> None:
    """Let remaining weights fall from left to right on a log scale, with ticks at densities that were
    measured.
    """
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullFormatter

    percents = sorted(set(percents))
    ticks = density_ticks(percents, most)
    panel.set_xscale("log")
    drawn = panel.dataLim.intervalx
    if len(ticks) == 1 and max(drawn) < ALONE * min(drawn):  # seeds differ in digits that would fill the axis
        panel.set_xlim(ALONE * ticks[0], ticks[0] / ALONE)
    elif not panel.xaxis_inverted():
        panel.invert_xaxis()
    panel.xaxis.set_major_locator(FixedLocator(ticks))
    panel.xaxis.set_major_formatter(FixedFormatter([short(tick) for tick in ticks]))
    panel.xaxis.set_minor_locator(FixedLocator(percents))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.set_xlabel("weights remaining (%)")


def density_ticks(percents: Sequence[float], most: int = 10) -> list[float]:
    """Return the densities themselves, from the largest, those that would print over each other left out."""
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
    """Return three significant digits: 100, 51.2, 3.52."""
    return f"{percent:.3g}" if percent < 99.95 else f"{percent:.0f}"


def steps_axis(panel: "Axes", steps: Iterable[float]) -> None:
    """Put optimizer steps on a log scale that begins with 0, where one was measured."""
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
    """Return 0, 500, 2k, 12.5k, 1M."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if steps >= 0.9995 * size:  # which three digits round to 1 of this unit
            return f"{steps / size:.3g}{unit}"
    return f"{steps:g}"


def _apart(places: Sequence[float], values: Sequence[float], least: float = 26.0) -> list[float]:
    """Return the values whose places, in points or so, do not print over each other."""
    found: list[tuple[float, float]] = []
    for place, value in zip(places, values, strict=True):
        if not found or place - found[-1][0] >= least:
            found.append((place, value))
    return [value for _, value in found]


def name_panel(panel: "Axes", name: str) -> None:
    """Write a panel's name over its left end, smaller where it is long."""
    width = panel.bbox.width / panel.figure.dpi  # inches
    size = min(LARGEST, max(SMALLEST, 72 * (width + 0.1) / (BOLD * max(1, len(name)))))
    panel.set_title(name, loc="left", fontweight="bold", fontsize=size)


def note(panel: "Axes", words: str) -> None:
    """Write into a corner of the panel that nothing is drawn in, the upper right one before others."""
    renderer = panel.figure.canvas.get_renderer()  # type: ignore[attr-defined]
    drawn = [(line.get_path(), line.get_transform()) for line in panel.lines]
    drawn += [(path, bars.get_transform()) for bars in panel.collections for path in bars.get_paths()]
    paths = [path.transformed(transform) for path, transform in drawn]
    text = panel.text(*CORNERS[0], words, transform=panel.transAxes, fontsize=7, color=GREY)
    for x, y in (*CORNERS, CORNERS[0]):
        text.set(x=x, y=y, ha="right" if x > 0.5 else "left", va="top" if y > 0.5 else "bottom")
        box = text.get_window_extent(renderer).padded(MARKER)
        if not any(
            path.intersects_bbox(box, filled=False) or any(map(box.contains, *np.asarray(path.vertices).T))
            for path in paths
        ):
            return


def by_label(panels: Iterable["Axes"]) -> tuple[list[Any], list[str]]:
    """Return the legend entries of several panels, each name once."""
    found: dict[str, Any] = {}
    for panel in panels:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return list(found.values()), list(found)


def compression_axis(panel: "Axes", compressions: Iterable[float], most: int = 6) -> None:
    """Put how many times fewer weights there are on a log scale, with ticks where it was measured."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullFormatter, NullLocator

    ticks = density_ticks(list(compressions), most)
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(FixedLocator(ticks))
    panel.xaxis.set_major_formatter(FixedFormatter([short(tick) for tick in ticks]))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.set_xlabel("compression (times fewer weights)")

"""Lines with their spread: gathered from rows, and drawn."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lth_ray.record.figures.looks import Look
from lth_ray.record.summary import is_there

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = Mapping[str, Any]
BAND = 0.13  # opacity
CAP = 3.6  # the width of an error bar's ends, points


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
    panel: "Axes", line: Line, look: Look, *, label: bool = True, has_spread: bool = True, width: float = 1.4,
    order: float = 5.0, aside: float = 0.0,
) -> None:  # fmt: skip
    """A line from least to greatest: error bars at its markers, or a band where it has none.

    label: put it into the legend. order: the highest is on top. aside: points by which it is moved to the right.
    """
    from matplotlib.transforms import ScaledTranslation

    moved = panel.transData
    if aside:
        moved = moved + ScaledTranslation(aside / 72, 0, panel.figure.dpi_scale_trans)
    if has_spread and look.marker and line.x:
        panel.vlines(line.x, line.low, line.high, color=look.colour, linewidth=0.9, zorder=order - 0.5, transform=moved)
        for ends in (line.low, line.high):
            panel.plot(
                line.x, ends, color=look.colour, marker="_", markersize=CAP, markeredgewidth=0.9, linestyle="",
                zorder=order - 0.5, transform=moved, label="_",
            )  # fmt: skip
    elif has_spread:
        panel.fill_between(line.x, line.low, line.high, color=look.colour, alpha=BAND, linewidth=0, zorder=2)
    panel.plot(
        line.x, line.mean, label=line.label if label else "_", color=look.colour, marker=look.marker, markersize=4.2,
        markerfacecolor="white" if look.is_hollow else look.colour, markeredgewidth=1.1, linewidth=width,
        linestyle=look.dashes, zorder=order, transform=moved,
    )  # fmt: skip
    if aside and line.x:  # matplotlib scales axes by what is drawn in place only
        panel.update_datalim([*zip(line.x, line.low, strict=True), *zip(line.x, line.high, strict=True)])
        panel.autoscale_view()

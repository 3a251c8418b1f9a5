"""Lines with their spread: gathered from rows, and drawn."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lth_ray.analysis.statistics import CONFIDENCE, interval, within_seeds
from lth_ray.config import is_there
from lth_ray.record.figures.drawing.drawn import keep
from lth_ray.record.figures.drawing.line_styles import Look
from lth_ray.record.report.tables import Row
from lth_ray.record.report.wording import ranged

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Transform

BAND = 0.13  # opacity
CAP = 3.6  # the width of an error bar's ends, points
SPREAD = f"{100 * CONFIDENCE:g} % t-interval"


@dataclass(frozen=True)
class Line:
    """A line of y over x: the mean over seeds at each x, and the ends of its 95 % t-interval.

    n: seeds at each x.
    """

    label: str
    x: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    n: tuple[int, ...] = ()

    def points(self, has_spread: bool = True) -> list[dict[str, float | None]]:
        """Return what is drawn at each x; the ends where there is a spread."""
        n = self.n or (None,) * len(self.x)
        each = zip(self.x, self.mean, self.low, self.high, n, strict=True)
        return [
            {"x": x, "mean": mean, "n": count, **({"low": low, "high": high} if has_spread and count != 1 else {})}
            for x, mean, low, high, count in each
        ]


def gather(label: str, rows: Iterable[Row], x: str, y: str, *, x_scale: float = 1.0, scale: float = 1.0) -> Line:
    """Return the line of the rows that have both columns.

    A result that several rows show counts once; n, in seeds, joins the label.
    """
    kept = {
        (row.get("key"), row["seed"], i if row.get("key") is None else 0): row
        for i, row in enumerate(rows)
        if is_there(row.get(x)) and is_there(row.get(y))
    }
    found: dict[float, list[Row]] = {}
    for row in kept.values():
        found.setdefault(round(x_scale * row[x], 9), []).append(row)
    ordered = {at: [(row["seed"], scale * row[y]) for row in found[at]] for at in sorted(found)}
    n = counted([(len(same), len({row["seed"] for row in same})) for same in found.values()])
    return line_of(f"{label} ({n})", ordered)


def line_of(label: str, points: Mapping[float, Iterable[tuple[int, float]]]) -> Line:
    """Return the line of {x: (seed, value) of every result}."""
    measured = [list(values) for values in points.values()]
    found = [mean_and_ends(values) for values in measured]
    mean, low, high = (tuple(point[i] for point in found) for i in range(3))
    return Line(label, tuple(points), mean, low, high, tuple(len(dict(values)) for values in measured))


def mean_and_ends(values: Iterable[tuple[int, float]]) -> tuple[float, float, float]:
    """Return the mean over seeds, a seed's results averaged first, and the ends of its 95 % t-interval.

    These are the mean itself under two seeds.

    values: (seed, value) of every result.
    """
    found = interval(within_seeds(values).values())
    mean, half = found.mean or 0.0, found.half_width or 0.0
    return mean, mean - half, mean + half


def counted(points: Sequence[tuple[int, int]]) -> str:
    """Return "n = 3", seeds, of the (runs, seeds) of every point; "n = 3 (9 runs)" where several runs share a
    seed.
    """
    runs, seeds = _span([runs for runs, _ in points]), _span([seeds for _, seeds in points])
    return f"n = {seeds}" if runs == seeds else f"n = {seeds} ({runs} runs)"


def _span(values: Sequence[int]) -> str:
    if not values:
        return "0"
    return str(min(values)) if min(values) == max(values) else ranged(min(values), max(values))


def draw(
    panel: "Axes",
    line: Line,
    look: Look,
    *,
    label: bool = True,
    has_spread: bool = True,
    width: float = 1.4,
    order: float = 5.0,
    aside: float = 0.0,
    called: str = "",
) -> None:
    """Draw a line with its intervals: error bars at its markers, or a band where it has none.

    label: put it into the legend.
    order: the highest is on top.
    aside: points by which it is moved to the right.
    called: its name among the figure's numbers, where that is not the line's label.
    """
    keep(panel, called or line.label, line.points(has_spread))
    moved = moved_by(panel, aside)
    if has_spread and look.marker and line.x:
        panel.vlines(line.x, line.low, line.high, color=look.colour, linewidth=0.9, zorder=order - 0.5, transform=moved)
        for ends in (line.low, line.high):
            panel.plot(
                line.x,
                ends,
                color=look.colour,
                marker="_",
                markersize=CAP,
                markeredgewidth=0.9,
                linestyle="",
                zorder=order - 0.5,
                transform=moved,
                label="_",
            )
    elif has_spread:
        panel.fill_between(line.x, line.low, line.high, color=look.colour, alpha=BAND, linewidth=0, zorder=2)
    panel.plot(
        line.x,
        line.mean,
        label=line.label if label else "_",
        color=look.colour,
        marker=look.marker,
        markersize=4.2,
        markerfacecolor="white" if look.is_hollow else look.colour,
        markeredgewidth=1.1,
        linewidth=width,
        linestyle=look.dashes,
        zorder=order,
        transform=moved,
    )
    if aside and line.x:  # matplotlib scales axes by what is drawn in place only
        panel.update_datalim([*zip(line.x, line.low, strict=True), *zip(line.x, line.high, strict=True)])
        panel.autoscale_view()


def moved_by(panel: "Axes", aside: float) -> "Transform":
    """Return where data are drawn, so many points to the right."""
    from matplotlib.transforms import ScaledTranslation

    data = panel.transData
    return data + ScaledTranslation(aside / 72, 0, panel.figure.dpi_scale_trans) if aside else data

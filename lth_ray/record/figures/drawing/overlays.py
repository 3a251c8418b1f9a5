"""Papers' numbers, drawn into a figure of ours: stars, hollow and dashed where one is unchecked or not
comparable.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from lth_ray.config import ACCURACY, Metric, is_there
from lth_ray.record.figures.drawing.drawn import keep
from lth_ray.record.figures.drawing.line_styles import GREY, Look
from lth_ray.record.figures.drawing.panels import ALONE, note
from lth_ray.record.paper.targets import Target
from lth_ray.record.report.summary import subnetwork
from lth_ray.record.report.tables import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Rows = Sequence[Row]
ROOM, CLEAR = 0.04, 0.003  # of the metric: by what the axis may grow to show what a paper reports, and its margin
SHARE = 0.5  # by which, of its length, the axis of densities may grow at either end: ours stay easy to read


def drawable(targets: Iterable[Target], metric: Metric = ACCURACY) -> list[Target]:
    """Return those that are the metric on the test set, or its difference from the dense network's, at known
    densities.
    """
    return [
        target
        for target in targets
        if target.quantity == metric.column("test") and target.relative_to in ("", "dense") and target.remaining_weights
    ]


def draw_targets(panel: "Axes", targets: Iterable[Target], lines: Sequence[tuple[Rows, Look]], metric: Metric) -> None:
    """Draw the metric over remaining weights in per cent, in the colour of our line of the same kind.

    A difference from dense is drawn on our own dense network's level, and one that is only bounded with an arrow to
    where the value may lie. What lies too far from ours, in the metric or in density, is counted.
    """
    (low, high), reach = panel.get_ylim(), _reach(panel)
    left_out, reached = 0, [low, high]
    room, clear = metric.scale * ROOM, metric.scale * CLEAR
    for target in drawable(targets, metric):
        ours = next(((rows, look) for rows, look in lines if _fits(rows, target)), None)
        base = 0.0 if not target.relative_to else _dense(ours[0] if ours else (), metric)
        if ours is None or base is None:
            continue
        y = base + target.value
        x = _within(reach, target, ours[0])
        if not x or not low - room <= y <= high + room:
            left_out += 1
            continue
        reached += [y - clear, y + clear]
        _star(panel, target, x, y, GREY if target.series == "dense" else ours[1].colour)
    panel.set_ylim(min(reached), max(reached))
    if left_out:
        note(panel, f"{left_out} reported value{'s' if left_out > 1 else ''} out of range")


def said(target: Target) -> str:
    """Return a target's name in a legend."""
    return f"{target.source}, {target.doubt}" if target.doubt else target.source


def _reach(panel: "Axes") -> tuple[float, float]:
    """Return the least and the greatest density, in per cent, at which a panel with our lines may show
    another.
    """
    least, greatest = panel.dataLim.minposx, panel.dataLim.x1
    if least > greatest:  # nothing of ours is drawn
        return 0.0, 100.0
    room = max(ALONE, (greatest / least) ** SHARE)
    return least / room, greatest * room


def _within(reach: tuple[float, float], target: Target, ours: Rows) -> list[float]:
    """Return the target's density, or the ends of its range, in per cent of prunable weights as our axis is.

    What lies out of reach is left out. A paper's density is of all weights: what is never pruned, a share of
    all that our line tells, is taken off.
    """
    ends = {100 * _of_prunable(end, ours) for end in target.remaining_weights or ()}
    return sorted(end for end in ends if reach[0] <= end <= reach[1])


def _of_prunable(share: float, ours: Rows) -> float:
    counted = [row for row in ours if is_there(row.get("remaining_of_all")) and row["remaining_weights"] < 1]
    prunable = (1 - counted[-1]["remaining_of_all"]) / (1 - counted[-1]["remaining_weights"]) if counted else 1.0
    return 1 - (1 - share) / prunable


def _star(panel: "Axes", target: Target, x: Sequence[float], y: float, colour: str) -> None:
    edge, fill, dashes = (colour, "white", (0, (3, 2))) if target.doubt else ("black", colour, "-")
    keep(panel, f"{said(target)}: {target.series}", [{"x": place, "mean": y} for place in x])
    seen = panel.get_legend_handles_labels()[1]
    panel.plot(
        x,
        [y] * len(x),
        label="_" if said(target) in seen else said(target),
        color=colour,
        marker="*",
        markersize=9,
        markeredgecolor=edge,
        markerfacecolor=fill,
        markeredgewidth=0.8,
        linestyle=dashes,
        linewidth=1.1,
        zorder=20,
    )
    if target.relation:
        up = 11 if target.relation.startswith(">") else -11
        arrow = {"arrowstyle": "<-", "color": colour, "linewidth": 1.1}
        for at in x:
            panel.annotate("", (at, y), (0, up), textcoords="offset points", arrowprops=arrow, zorder=19)


def _fits(rows: Rows, target: Target) -> bool:
    """Return whether a line of ours is of the target's arm, method, rewind step and kind."""
    return target.series in {subnetwork(row) for row in rows} and target.fits(rows[0])


def _dense(rows: Rows, metric: Metric) -> float | None:
    """Return our dense network's metric, as it is drawn."""
    test = metric.column("test")
    found = [metric.scale * row[test] for row in rows if row["round"] == 0 and is_there(row[test])]
    return found[0] if found else None

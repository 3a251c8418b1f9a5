"""The metric of many kinds of subnetworks: a panel for each kind, where one panel cannot hold them."""

import textwrap
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lth_ray.config import Metric
from lth_ray.record.figures.drawing.line_styles import COLOURS, DASHES, GREY, Look, looks
from lth_ray.record.figures.drawing.lines import draw
from lth_ray.record.figures.drawing.overlays import draw_targets, drawable, said
from lth_ray.record.figures.drawing.page import Page
from lth_ray.record.figures.drawing.panels import name_panel
from lth_ray.record.figures.drawing.series import Series, draw_series, leave_out_the_worst, worst_shown
from lth_ray.record.paper.targets import Target

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 8  # lines in a panel
REFERENCES = 2  # lines of tickets that every other panel can hold beside its own
ENTRY, WRAP = 0.135, 38  # a line of a panel's legend: inches, characters
WORDS = ", "


def multiples(
    series: Sequence[Series], metric: Metric, title: str, caption: str, targets: Sequence[Target] = ()
) -> "Figure":
    """Draw a panel for each kind of line, with a legend of its own.

    Tickets are in the others too, in grey, where they are few.

    targets: as in `metric_figure`.
    """
    groups = facets(series)
    tickets = [line for line in series if not line.is_branch]
    shown = tickets if len(tickets) <= REFERENCES else []
    lines = {name: _within(name, own) for name, own in groups.items()}
    others = 1 + len({said(target) for target in drawable(targets, metric)})  # the dense level and the papers
    needed = [sum(line.label.count("\n") + 1 for line in own) + len(shown) + others for own in lines.values()]
    columns = min(3, len(groups))
    rows = -(-len(groups) // columns)
    floors = {name: worst_shown(series, own, metric) for name, own in groups.items()}
    is_shared = len(set(floors.values())) == 1  # else what stays far under the dense network has an axis of its own
    gap = 0.3 if is_shared else 0.5
    feet = [ENTRY * max(needed[i : i + columns]) for i in range(0, len(needed), columns)]
    page = Page.of([], caption, rows, columns, panel=2.2, gap=gap, are_titled=True, feet=feet)
    figure, panels = page.begin(sharey=is_shared)
    for panel, (name, own) in zip(panels, lines.items(), strict=False):
        for i, line in enumerate(line for line in shown if line not in groups[name]):
            look = Look(GREY, "", DASHES[i % len(DASHES)])
            draw(panel, line.line(metric.column("test"), metric.scale), look, has_spread=False, width=1.0)
        draw_series(panel, own, metric.column("test"), metric.scale, most=6)
    # Limits are set when all is drawn: panels that share an axis would have to do with those of the first.
    for panel, (name, own) in zip(panels, lines.items(), strict=False):
        draw_targets(panel, targets, [(line.rows, line.look) for line in own], metric)
        leave_out_the_worst(panel, own, floors[name], metric)
        name_panel(panel, name)
        _legend(panel, page)
    for panel in panels[len(groups) :]:
        panel.set_axis_off()
    for panel in panels[::columns]:
        panel.set_ylabel(f"test {metric.title}")
    return page.finish(figure, title, ([], []))


def facets(series: Sequence[Series]) -> dict[str, list[Series]]:
    """Return lines by kind, the first word of their names.

    Kinds with too many lines for a panel are split by further words, or where that would give panels of one
    or two lines, in pieces of equal size.
    """
    kinds: dict[str, list[Series]] = {}
    for line in series:
        kinds.setdefault(line.name.split(WORDS)[0], []).append(line)
    return {name: lines for kind, own in kinds.items() for name, lines in _split(kind, own, 1).items()}


def _split(name: str, lines: list[Series], depth: int) -> dict[str, list[Series]]:
    if len(lines) <= MOST:
        return {name: lines}
    found: dict[str, list[Series]] = {}
    for line in lines:
        found.setdefault(WORDS.join(line.name.split(WORDS)[: depth + 1]), []).append(line)
    if 3 * len(found) <= len(lines):
        return {part: own for first, group in found.items() for part, own in _split(first, group, depth + 1).items()}
    pieces = -(-len(lines) // MOST)
    size = -(-len(lines) // pieces)
    return {f"{name} ({i + 1} of {pieces})": lines[i * size : (i + 1) * size] for i in range(pieces)}


def _within(panel: str, lines: Sequence[Series]) -> list[Series]:
    """Return lines with colours of their own, and without what their panel's name says already."""
    known = panel.partition(" (")[0] + WORDS
    return [
        replace(
            line,
            name=textwrap.fill(line.name.removeprefix(known), WRAP),
            look=Look(look.colour, look.marker, DASHES[i // len(COLOURS)], line.look.is_hollow),
        )
        for i, (line, look) in enumerate(zip(lines, looks(len(lines)), strict=True))
    ]


def _legend(panel: "Axes", page: Page) -> None:
    """Put the legend under the panel's axis."""
    panel.legend(
        loc="upper left",
        bbox_to_anchor=(0, -page.AXIS / page.panel),
        fontsize=6.5,
        frameon=False,
        handlelength=2.6,
        labelspacing=0.2,
        borderpad=0,
        borderaxespad=0,
        markerscale=0.8,
    )

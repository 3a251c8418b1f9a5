"""The papers' figure: the metric and the time to learn against remaining weights (Frankle & Carbin 2019)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lth_ray.config import is_there
from lth_ray.record.figures.drawing.line_styles import COLOURS, DASHES, Look, looks
from lth_ray.record.figures.drawing.measured import evenly
from lth_ray.record.figures.drawing.multiples import multiples
from lth_ray.record.figures.drawing.overlays import draw_targets, drawable, said
from lth_ray.record.figures.drawing.page import Page, styled
from lth_ray.record.figures.drawing.panels import by_label, from_zero
from lth_ray.record.figures.drawing.series import (
    DENSE,
    OPEN,
    Series,
    draw_series,
    leave_out_the_worst,
    mark_open,
    worst_shown,
)
from lth_ray.record.paper.targets import Target
from lth_ray.record.report.summary import summary_of
from lth_ray.record.report.tables import metric_of_frame
from lth_ray.record.report.wording import labels

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

MOST = 10  # lines that a panel can hold
MOST_OF_ALL = 96  # that a figure can


@styled
def metric_figure(
    frame: "pandas.DataFrame", title: str = "", caption: str = "", targets: Sequence[Target] = ()
) -> "Figure":
    """Draw the mean of each series at each density, with error bars of its 95 % t-interval over seeds.

    Left, the metric on the test set at the last step; right, the early-stop step, where validation was
    measured, with an arrow up where it is the last step of some runs. Remaining weights fall from left to
    right on a log scale; the dotted line in its band is the dense network, round 0. Tickets are solid,
    branches hollow. n is in the legend. Where there are more lines than a panel can hold, there is a panel
    for each kind of them instead, of the metric alone.

    frame: as of Results.tickets(), and of Results.branches() under them; or as Results.summary().
    targets: what papers report, as stars.
    """
    frame = summary_of(frame)
    metric = metric_of_frame(frame)
    series, caption = _shown(lines_of(frame), caption)
    if len(series) > MOST:
        return multiples(series, metric, title, caption, targets)
    has_steps = any(is_there(row["early_stop_step"]) for line in series for row in line.rows)
    names = [DENSE, *(line.label for line in series), *dict.fromkeys(map(said, drawable(targets, metric))), OPEN]
    page = Page.of(names, caption, 1, 2 if has_steps else 1)
    figure, panels = page.begin()
    draw_series(panels[0], series, metric.column("test"), metric.scale)
    panels[0].set_ylabel(f"test {metric.title}")
    leave_out_the_worst(panels[0], series, worst_shown(series, series, metric), metric)
    draw_targets(panels[0], targets, [(line.rows, line.look) for line in series], metric)
    if has_steps:
        draw_series(panels[1], series, "early_stop_step", 1.0)
        panels[1].set_ylabel("early-stop step")
        from_zero(panels[1])
        mark_open(panels[1], series)
    return page.finish(figure, title, by_label(panels))


def _shown(lines: list[Series], caption: str) -> tuple[list[Series], str]:
    """Return as many lines as a figure holds, whole series of lineages evenly from all, and the caption, which says so
    where some are left to the tables.
    """
    if len(lines) <= MOST_OF_ALL:
        return lines, caption
    names = list(dict.fromkeys(line.rows[0]["series"] for line in lines))
    kept = {*evenly(names, max(2, MOST_OF_ALL * len(names) // len(lines)))}
    shown = [line for line in lines if line.rows[0]["series"] in kept]
    note = f"{len(shown)} of {len(lines):,} lines are shown; the tables have all."
    return shown, f"{caption}\n{note}".strip()


def lines_of(frame: "pandas.DataFrame") -> list[Series]:
    """Return the lines to draw, tickets first.

    Where there are more lines than colours, and several series of lineages, a colour and marker is a series, and the
    line style alone tells what was done to their tickets.
    """
    lines: dict[tuple[bool, str, str], list[Mapping[str, Any]]] = {}
    for label, row in zip(labels(frame), frame.to_dict("records"), strict=True):
        lines.setdefault((row["branch"] != "", label, row["series"]), []).append(row)
    ordered = sorted(lines.items(), key=lambda line: line[0][0])
    lineages = {name: i for i, name in enumerate(dict.fromkeys(name for _, _, name in lines))}
    seen: dict[str, int] = dict.fromkeys(lineages, 0)
    chosen = looks(max(len(lines), len(lineages)))
    is_by_series = len(lines) > len(COLOURS) and len(lineages) > 1
    found = []
    for i, ((is_branch, label, name), rows) in enumerate(ordered):
        look = chosen[lineages[name] if is_by_series else i]
        dashes = DASHES[seen[name] % len(DASHES)]
        seen[name] += 1
        by_density = tuple(sorted(rows, key=lambda row: -row["remaining_weights"]))
        found.append(Series(label, by_density, Look(look.colour, look.marker, dashes, is_branch)))
    return found

"""The error along the line between trained copies (Frankle et al. 2020a, figures of section 3)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lth_ray.record.figures.drawing.line_styles import ramp
from lth_ray.record.figures.drawing.lines import Line, counted, draw, line_of
from lth_ray.record.figures.drawing.measured import evenly, joined
from lth_ray.record.figures.drawing.page import Page, styled
from lth_ray.record.figures.drawing.panels import by_label, compact, grid, name_panel
from lth_ray.record.figures.instability import barriers_by
from lth_ray.record.report import long_tables
from lth_ray.record.report.tables import Row, metric_of_frame, rows_of

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

MOST_PANELS, MOST_SPAWNS = 6, 4
PLACES = {0: "0", 0.25: ".25", 0.5: ".5", 0.75: ".75", 1: "1"}


@styled
def paths_figure(paths: "pandas.DataFrame", title: str = "", caption: str = "") -> "Figure | None":
    """Draw the test error, in the metric's unit, along the line between copies.

    There is a panel for each kind and density, a line for each spawn step: the mean over seeds, pairs of one
    averaged first, in a band, its 95 % t-interval. Returns None where there is no path.

    paths: as of Results.branches(), whose lines are then read; or a row for each place of each result
        (`record.paths`).
    """
    rows, metric = _results(rows_of(long_tables.paths(paths))), metric_of_frame(paths)
    if not rows:
        return None
    groups = barriers_by(rows)
    shown = evenly(list(groups), MOST_PANELS)
    spawns = evenly(sorted({row["spawn_step"] for rows in groups.values() for row in rows}), MOST_SPAWNS)
    columns = min(3, len(shown))
    names = [f"copies part at step {compact(step)}" for step in spawns]
    page = Page.of(names, caption, -(-len(shown) // columns), columns, panel=2.0, gap=0.3, are_titled=True)
    figure, panels = page.begin(sharey=True)
    for panel, key in zip(panels, shown, strict=False):
        ns = []
        for step, name, look in zip(spawns, names, ramp(len(spawns), is_dashed=True), strict=True):
            line, n = _path(name, [row for row in groups[key] if row["spawn_step"] == step], metric.scale)
            ns += [n] if line.x else []
            draw(panel, line, look)
        name_panel(panel, f"{joined(*key)} ({counted(ns)})")
        panel.set_xlabel("place on the line, α")  # noqa: RUF001
        panel.set_xlim(0, 1)
        panel.set_xticks(list(PLACES), list(PLACES.values()))
        grid(panel)
    for panel in panels[len(shown) :]:
        panel.set_axis_off()
    for panel in panels[::columns]:
        panel.set_ylabel(metric.with_unit("test error"))
    return page.finish(figure, title, by_label(panels[: len(shown)]))


def _results(points: Sequence[Row]) -> list[dict[str, Any]]:
    """Return a row for each result of each lineage, with its path as {alpha: test error}."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for point in points:
        row = found.setdefault((point["lineage"], point["key"]), {**point, "path": {}})
        row["path"][point["alpha"]] = point["test_error"]
    return list(found.values())


def _path(name: str, rows: Sequence[Row], scale: float) -> tuple[Line, tuple[int, int]]:
    """Return mean error and its interval at each place, of the paths that have the places of the first, and
    (runs, seeds).
    """
    paths = {row["key"]: row["path"] for row in rows}
    alpha = tuple(next(iter(paths.values()))) if paths else ()
    kept = {key: path for key, path in paths.items() if tuple(path) == alpha}
    seeds = {row["key"]: row["seed"] for row in rows if row["key"] in kept}
    errors = {place: [(seeds[key], scale * path[place]) for key, path in kept.items()] for place in alpha}
    return line_of(name if errors else "_", errors), (len(kept), len(set(seeds.values())))

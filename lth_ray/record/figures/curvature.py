"""Curvature of the loss where tickets end, against the weights that remain."""

from typing import TYPE_CHECKING

from lth_ray.record.figures.drawing.line_styles import looks
from lth_ray.record.figures.drawing.lines import draw, gather
from lth_ray.record.figures.drawing.measured import by_host, few, results_of
from lth_ray.record.figures.drawing.page import Page, styled
from lth_ray.record.figures.drawing.panels import by_label, from_zero, grid, weights_axis
from lth_ray.record.report.tables import rows_of

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

MOST_VARIANTS = 6
MEASURED = {"hessian_top": "largest eigenvalue of the Hessian", "hessian_trace": "trace of the Hessian"}


@styled
def curvature_figure(branches: "pandas.DataFrame", title: str = "", caption: str = "") -> "Figure | None":
    """Draw the largest eigenvalue of the Hessian in the kept weights, and the trace where it was estimated, against
    remaining weights. None where neither was measured.
    """
    rows = results_of(rows_of(branches), "curvature", "hessian_top")
    if not rows:
        return None
    shown = [column for column in MEASURED if any(row.get(column) is not None for row in rows)]
    variants, caption = few(by_host(rows), MOST_VARIANTS, caption)
    lines = [
        ([gather(name, own, "remaining_weights", column, x_scale=100.0) for column in shown], look)
        for (name, own), look in zip(variants.items(), looks(len(variants)), strict=True)
    ]
    page = Page.of([found[0].label for found, _ in lines], caption, 1, len(shown))
    figure, panels = page.begin()
    for found, look in lines:
        for panel, line in zip(panels, found, strict=True):
            draw(panel, line, look)
    for panel, column in zip(panels, shown, strict=True):
        weights_axis(panel, [100 * row["remaining_weights"] for row in rows])
        panel.set_ylabel(MEASURED[column])
        from_zero(panel)
        grid(panel)
    return page.finish(figure, title, by_label(panels))

"""The changes of a mask while its ticket is trained (after Evci et al. 2020, and Mocanu et al. 2018)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lth_ray.config import is_there
from lth_ray.record.figures.drawing.line_styles import looks
from lth_ray.record.figures.drawing.lines import draw, gather
from lth_ray.record.figures.drawing.measured import by_round, by_variant, few, joined
from lth_ray.record.figures.drawing.page import Page, styled
from lth_ray.record.figures.drawing.panels import by_label, compact, from_zero, grid
from lth_ray.record.report import long_tables
from lth_ray.record.report.tables import Row, rows_of

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

MOST = 8
PANELS = {"exchanged": "exchanged in an update, % of kept weights", "overlap": "dropped and grown at once, %"}


@styled
def regrowth_figure(updates: "pandas.DataFrame", title: str = "", caption: str = "") -> "Figure | None":
    """Draw over training what each update of a moving mask exchanged, a line for each variant and density.

    Left, the share of the kept weights that left the mask for others; right, of those dropped the share that was grown
    again at once, in which an update changed nothing. Lines are the mean over seeds with error bars of its 95 %
    t-interval. Returns None where no mask moved.

    updates: as of Results.tickets(), whose updates are then read; or a row for each update (`record.updates`).
    """
    rows: list[Row] = [dict(row) for row in rows_of(long_tables.updates(updates)) if is_there(row.get("step"))]
    if not rows:
        return None
    variants = {
        joined(variant, f"{density} of weights"): own
        for variant, of_variant in by_variant(rows).items()
        for density, own in by_round(of_variant).items()
    }
    shown, caption = few(variants, MOST, caption)
    lines = {
        column: [gather(name, _each(own), "step", column, scale=100.0) for name, own in shown.items()]
        for column in PANELS
    }
    page = Page.of([line.label for line in lines["exchanged"]], caption, 1, 2)
    figure, panels = page.begin()
    for panel, (column, words) in zip(panels, PANELS.items(), strict=True):
        for line, look in zip(lines[column], looks(len(shown)), strict=True):
            draw(panel, line, look)
        panel.set_ylabel(words)
        panel.xaxis.set_major_formatter(lambda step, _: compact(step))
        panel.set_xlabel("step of training")
        panel.locator_params(axis="x", nbins=6)
        from_zero(panel)
        grid(panel)
    return page.finish(figure, title, by_label(panels[:1]))


def _each(rows: Sequence[Row]) -> list[Row]:
    """Return rows that are results of their own: a ticket's updates have its key in common."""
    return [{**row, "key": f"{row['key']}/{row['step']}"} for row in rows]

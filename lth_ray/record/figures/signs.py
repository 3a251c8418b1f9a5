"""Sign flips: how many of the kept weights end training with another sign (Gadhikar & Burkholz 2024)."""

from dataclasses import replace
from typing import TYPE_CHECKING

from lth_ray.record.figures.drawing.line_styles import DASHES, looks
from lth_ray.record.figures.drawing.lines import draw, gather
from lth_ray.record.figures.drawing.measured import by_host, few, joined, results_of
from lth_ray.record.figures.drawing.page import Page, styled
from lth_ray.record.figures.drawing.panels import by_label, from_zero, grid, weights_axis
from lth_ray.record.report.tables import rows_of

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

MOST_VARIANTS = 7
SIDES = {"signs_flipped": "in its training", "signs_flipped_since_init": "since initialisation"}


@styled
def signs_figure(branches: "pandas.DataFrame", title: str = "", caption: str = "") -> "Figure | None":
    """Draw the share of kept weights whose signs a training flipped against the weights that remain.

    Left since its start, right since initialisation (of tickets alone). None where nothing was measured.
    """
    rows = results_of(rows_of(branches), "sign_flips", "signs_flipped")
    if not rows:
        return None
    variants, caption = few(by_host(rows), MOST_VARIANTS, caption)
    lines = {
        column: [
            (gather(joined(name, said), own, "remaining_weights", column, x_scale=100.0, scale=100.0), look)
            for (name, own), look in zip(variants.items(), looks(len(variants)), strict=True)
        ]
        for column, said in SIDES.items()
    }
    page = Page.of([line.label for side in lines.values() for line, _ in side], caption, 1, 2)
    figure, panels = page.begin()
    for panel, (column, side) in zip(panels, lines.items(), strict=True):
        for line, look in side:
            second = column != "signs_flipped"
            if line.x:
                draw(panel, line, replace(look, dashes=DASHES[1], is_hollow=True) if second else look)
        weights_axis(panel, [100 * row["remaining_weights"] for row in rows])
        panel.set_ylabel(f"signs flipped {SIDES[column]} (% of kept)")
        from_zero(panel)
        grid(panel)
    return page.finish(figure, title, by_label(panels))

"""Movement of weights: those that are kept and those that are pruned (Frankle & Carbin 2019, appendix)."""

from dataclasses import replace
from typing import TYPE_CHECKING

from lth_ray.record.figures.drawing.line_styles import DASHES, Look, looks
from lth_ray.record.figures.drawing.lines import draw, gather
from lth_ray.record.figures.drawing.measured import by_host, few, joined, results_of
from lth_ray.record.figures.drawing.page import Page, styled
from lth_ray.record.figures.drawing.panels import by_label, from_zero, grid, weights_axis
from lth_ray.record.report.tables import rows_of

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

MOST_VARIANTS = 6


@styled
def movement_figure(branches: "pandas.DataFrame", title: str = "", caption: str = "") -> "Figure | None":
    """Draw how far weights move in the training that a mask was found by, against the weights that remain
    after it.

    Left, the mean distance of weights that are kept and of those that are pruned; right, of the kept, the share that
    changed sign and that moved away from zero. None where nothing was measured.
    """
    rows = results_of(rows_of(branches), "weights", "moved_kept")
    if not rows:
        return None
    variants, caption = few(by_host(rows), MOST_VARIANTS, caption)
    sides = (
        ("mean distance moved", 1.0, {"moved_kept": "kept", "moved_pruned": "pruned"}),
        ("share of kept weights (%)", 100.0, {"moved_from_zero": "away from zero", "sign_flipped": "sign changed"}),
    )
    lines = [
        [
            (gather(joined(variant, what), own, "remaining_weights", column, x_scale=100.0, scale=scale), look)
            for (variant, own), colours in zip(variants.items(), _pairs(len(variants), side), strict=True)
            for (column, what), look in zip(columns.items(), colours, strict=True)
        ]
        for side, (_, scale, columns) in enumerate(sides)
    ]
    page = Page.of([line.label for side in lines for line, _ in side], caption, 1, 2)
    figure, panels = page.begin()
    for panel, (said, _, _), side in zip(panels, sides, lines, strict=True):
        for line, look in side:
            draw(panel, line, look)
        weights_axis(panel, [100 * row["remaining_weights"] for row in rows])
        panel.set_ylabel(said)
        from_zero(panel)
        grid(panel)
    return page.finish(figure, title, by_label(panels))


def _pairs(variants: int, side: int) -> list[tuple[Look, Look]]:
    """Return looks for two quantities of each variant: of several in one colour, of a single one in four over
    both panels.
    """
    chosen = looks(variants if variants > 1 else 4)
    firsts = chosen if variants > 1 else chosen[2 * side : 2 * side + 1]
    seconds = chosen if variants > 1 else chosen[2 * side + 1 : 2 * side + 2]
    return [
        (first, replace(second, dashes=DASHES[1], is_hollow=True))
        for first, second in zip(firsts, seconds, strict=True)
    ]

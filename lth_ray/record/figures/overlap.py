"""The overlap of the masks of different seeds."""

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from lth_ray.record.figures.drawing.line_styles import DASHES, GREY, Look, looks
from lth_ray.record.figures.drawing.lines import counted, draw, gather
from lth_ray.record.figures.drawing.measured import by_host, few, joined, results_of
from lth_ray.record.figures.drawing.page import Page, styled
from lth_ray.record.figures.drawing.panels import by_label, from_zero, grid, weights_axis
from lth_ray.record.report.tables import Row, rows_of

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

MOST_VARIANTS = 6


@styled
def overlap_figure(branches: "pandas.DataFrame", title: str = "", caption: str = "") -> "Figure | None":
    """Draw the Jaccard overlap of the masks of two seeds against remaining weights.

    Beside it is that of masks drawn at random with the same layer densities (hollow). n counts seeds, each
    with the mean over its pairs. Returns None where none was measured.
    """
    rows = results_of(rows_of(branches), "mask_overlap", "jaccard")
    if not rows:
        return None
    variants, caption = few(by_host(rows), MOST_VARIANTS, caption)
    lines = []
    for look, (variant, own) in zip(looks(len(variants)), variants.items(), strict=True):
        own = [*own, *({**row, "seed": row["other_seed"]} for row in own)]  # a pair belongs to both
        n = counted([(len(seeds), len(seeds)) for seeds in _seeds(own).values()])
        for i, (column, what) in enumerate((("jaccard", "pairs of seeds"), ("jaccard_by_chance", "by chance"))):
            line = gather("", own, "remaining_weights", column, x_scale=100.0, scale=100.0)
            colour = GREY if i and len(variants) == 1 else look.colour
            drawn = Look(colour, look.marker, DASHES[i], is_hollow=i > 0)
            lines.append((replace(line, label=joined(variant, what) if i else f"{joined(variant, what)} ({n})"), drawn))
    page = Page.of([line.label for line, _ in lines], caption)
    figure, (panel,) = page.begin()
    for line, look in lines:
        draw(panel, line, look)
    weights_axis(panel, [100 * row["remaining_weights"] for row in rows])
    panel.set_ylabel("kept in both / in either (%)")
    from_zero(panel)
    grid(panel)
    return page.finish(figure, title, by_label([panel]))


def _seeds(rows: Iterable[Row]) -> dict[int, set[int]]:
    """Return {round: seeds}."""
    found: dict[int, set[int]] = {}
    for row in rows:
        found.setdefault(row["round"], set()).add(row["seed"])
    return found

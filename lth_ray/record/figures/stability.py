"""Stability: the distance at which tickets end from the dense network and from each other (Frankle et al.
2019).
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lth_ray.record.figures.drawing.line_styles import DASHES, Look, looks
from lth_ray.record.figures.drawing.lines import draw, gather
from lth_ray.record.figures.drawing.measured import by_subnetwork, by_variant, few, joined, results_of, spawned_later
from lth_ray.record.figures.drawing.page import Page, styled
from lth_ray.record.figures.drawing.panels import by_label, from_zero, grid, name_panel, weights_axis
from lth_ray.record.report.tables import Row, rows_of

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

COMPARED = {"pruning": "to pruning", "order": "to data order"}
MEASURED = {"l2_distance": "L2 distance", "angle": "angle (degrees)"}
MOST_LINES, MOST_VARIANTS = 10, 6


@styled
def stability_figure(branches: "pandas.DataFrame", title: str = "", caption: str = "") -> "Figure | None":
    """Draw L2 distance, and the angle, against remaining weights.

    To pruning (solid), it is that of the trained ticket from the trained dense network; to data order
    (hollow), of copies from each other. Where there are many lines, a row of panels for each arm and rewind
    point. Returns None where nothing was measured. After Frankle et al. 2019, section 4.
    """
    rows = results_of(rows_of(branches), "stability", "l2_distance")
    if not rows:
        return None
    variants = by_variant(rows, ("spawn_step",) if spawned_later(rows) else ())
    is_split = len(COMPARED) * len(by_subnetwork(rows)) * len(variants) > MOST_LINES and len(variants) > 1
    if is_split:
        variants, caption = few(variants, MOST_VARIANTS, caption)
    groups = [{name: own} for name, own in variants.items()] if is_split else [variants]
    lines = [_lines(group, with_variant=not is_split) for group in groups]
    named = [gather(name, own, "remaining_weights", "angle") for group in lines for name, own, _ in group]
    names = dict.fromkeys(line.label for line in named)
    page = Page.of(list(names), caption, len(groups), 2, panel=2.2 if is_split else 2.7, are_titled=is_split)
    figure, panels = page.begin()
    for i, (group, drawn) in enumerate(zip(groups, lines, strict=True)):
        for panel, (column, said) in zip(panels[2 * i :], MEASURED.items(), strict=False):
            for name, own, look in drawn:
                draw(panel, gather(name, own, "remaining_weights", column, x_scale=100.0), look)
            weights_axis(panel, [100 * row["remaining_weights"] for own in group.values() for row in own])
            panel.set_ylabel(said)
            from_zero(panel)
            grid(panel)
            if is_split:
                name_panel(panel, next(iter(group)))
    return page.finish(figure, title, by_label(panels))


def _lines(variants: Mapping[str, Sequence[Row]], with_variant: bool) -> list[tuple[str, list[Row], Look]]:
    """Return (name, rows, look): a colour for each kind of subnetwork, or of those in each variant."""
    groups = {
        (kind, variant if with_variant else ""): of_kind
        for variant, own in variants.items()
        for kind, of_kind in by_subnetwork(own).items()
    }
    found = []
    for key, colour in zip(groups, looks(len(groups)), strict=True):
        for i, (compared, words) in enumerate(COMPARED.items()):
            own = [row for row in groups[key] if row["compared"] == compared]
            look = Look(colour.colour, colour.marker, DASHES[i], is_hollow=i > 0)
            found += [(f"{joined(*key)}, {words}", own, look)] if own else []
    return found

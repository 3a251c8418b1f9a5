"""The density of each layer, where a criterion ranks the weights of all layers together."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lth_ray.record.figures.drawing.line_styles import COLOURS, GREY, looks, ramp
from lth_ray.record.figures.drawing.lines import counted, draw, gather
from lth_ray.record.figures.drawing.measured import by_round, by_variant, few
from lth_ray.record.figures.drawing.page import Page, styled
from lth_ray.record.figures.drawing.panels import by_label, grid, name_panel, weights_axis
from lth_ray.record.report import long_tables
from lth_ray.record.report.tables import Row, rows_of

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_VARIANTS = 6


@styled
def densities_figure(densities: "pandas.DataFrame", title: str = "", caption: str = "") -> "Figure | None":
    """Draw the remaining weights of each layer against those of the network, on log scales.

    The dotted line is all layers alike. Lines are the mean over seeds with error bars of its 95 % t-interval.
    Returns None where no round was pruned.

    densities: as of Results.tickets(), whose layers are then read; or a row for each layer of each ticket
        (`record.densities`).
    """
    found = [row for row in rows_of(long_tables.densities(densities)) if row["round"] > 0]
    if not found:
        return None
    variants, caption = few(by_variant(found), MOST_VARIANTS, caption)
    rows = [row for own in variants.values() for row in own]
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    is_few = len(layers) <= len(COLOURS)
    chosen = looks(len(layers)) if is_few else ramp(len(layers), is_dashed=True)
    columns = 1 if len(variants) == 1 else 2 if len(variants) in (2, 4) else 3
    page = Page.of(
        [*layers, "all alike"], caption, -(-len(variants) // columns), columns, panel=2.4, gap=0.45, are_titled=True
    )
    figure, panels = page.begin()
    for panel, (variant, own) in zip(panels, variants.items(), strict=False):
        percents = [100 * row["remaining_weights"] for row in own]
        panel.plot(
            [max(percents), min(percents)],
            [max(percents), min(percents)],
            color=GREY,
            linewidth=0.9,
            linestyle=(0, (1, 2)),
            label="all alike",
        )
        for layer, look in zip(layers, chosen, strict=True):
            of_layer = [row for row in own if row["layer"] == layer]
            line = gather(layer, of_layer, "remaining_weights", "density", x_scale=100.0, scale=100.0)
            draw(panel, replace(line, label=layer), look)
        n = counted([(len(keys), len(seeds)) for keys, seeds in map(_runs, by_round(own).values())])
        name_panel(panel, f"{variant} ({n})" if variant else n)
        panel.set_yscale("log")
        weights_axis(panel, percents, most=10 if columns < 3 else 6)
        _percent_axis(panel)
        grid(panel)
    for panel in panels[len(variants) :]:
        panel.set_axis_off()
    for panel in panels[::columns]:
        panel.set_ylabel("remaining in the layer (%)")
    return page.finish(figure, title, by_label(panels[:1]))


def _runs(rows: Sequence[Row]) -> tuple[set[str], set[int]]:
    return {row["key"] for row in rows}, {row["seed"] for row in rows}


def _percent_axis(panel: "Axes") -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    panel.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.yaxis.set_minor_formatter(NullFormatter())

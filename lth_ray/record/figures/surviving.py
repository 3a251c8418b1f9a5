"""The initial weights that survive (Frankle & Carbin 2019, appendix on the distribution of initialisations)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lth_ray.record.figures.drawing.drawn import keep
from lth_ray.record.figures.drawing.line_styles import ramp
from lth_ray.record.figures.drawing.lines import Line, counted, draw
from lth_ray.record.figures.drawing.measured import by_host, by_round, evenly, few, joined
from lth_ray.record.figures.drawing.page import Page, styled
from lth_ray.record.figures.drawing.panels import by_label, from_zero, name_panel
from lth_ray.record.report import long_tables
from lth_ray.record.report.tables import Row, rows_of

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

MOST_LAYERS, MOST_ROUNDS, MOST_VARIANTS = 6, 4, 2
COLUMNS = ("layer", "low", "high", "all", "kept")
ALL = "#c4c4c4"


@styled
def surviving_figure(weights: "pandas.DataFrame", title: str = "", caption: str = "") -> "Figure | None":
    """Draw the distribution of initial weights, a panel for each layer.

    Grey is of all weights, shades are of those that survive at a density: means over seeds, on the bins of
    the first: a layer's bins reach to its largest weight, which differs a little. Returns None without any.

    weights: as of Results.branches(), whose distributions are then read; or a row for each bin of each layer of
        each result (`record.weights`).
    """
    rows = _results(rows_of(long_tables.weights(weights)))
    if not rows:
        return None
    variants, caption = few(by_host(rows), MOST_VARIANTS, caption)
    layers = evenly(list(dict.fromkeys(rows[0]["table"]["layer"])), MOST_LAYERS)
    columns = min(3, len(layers))
    shown = evenly(sorted({row["round"] for row in rows}), MOST_ROUNDS)
    rounds = by_round([row for row in rows if row["round"] in shown])
    shades = dict(zip(rounds, ramp(len(rounds), is_dashed=True), strict=True))
    names = [*(f"surviving at {name}" for name in shades), "all, at initialisation"]
    height = -(-len(layers) // columns)
    page = Page.of(names, caption, len(variants) * height, columns, panel=1.9, gap=0.5, are_titled=True)
    figure, panels = page.begin()
    for i, (variant, of_variant) in enumerate(variants.items()):
        own = panels[i * height * columns : (i + 1) * height * columns]
        for panel, layer in zip(own, layers, strict=False):
            first = _mean("all", layer, list(by_round(of_variant).values())[-1])
            keep(panel, "all, at initialisation", first.points(has_spread=False))
            panel.fill_between(first.x, first.mean, color=ALL, linewidth=0, label="all, at initialisation", zorder=1)
            for name, of_round in by_round([row for row in of_variant if row["round"] in shown]).items():
                line = _mean("kept", layer, of_round)
                draw(panel, replace(line, label=f"surviving at {name}"), shades[name], has_spread=False, width=1.2)
            n = counted([(len(found), len(found)) for found in by_round(of_variant).values()])
            name_panel(panel, f"{joined(variant, layer)} ({n})")
            panel.set_xlabel("initial weight")
            from_zero(panel)
        for panel in own[len(layers) :]:
            panel.set_axis_off()
    for panel in panels[::columns]:
        panel.set_ylabel("probability density")
    return page.finish(figure, title, by_label(panels))


def _results(bins: Sequence[Row]) -> list[dict[str, Any]]:
    """Return a row for each result of each lineage, with its table's columns."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in bins:
        result = found.setdefault((row["lineage"], row["key"]), {**row, "table": {name: [] for name in COLUMNS}})
        for name in COLUMNS:
            result["table"][name].append(row[name])
    return list(found.values())


def _mean(column: str, layer: str, rows: Sequence[Row]) -> Line:
    """Return a layer's densities at its bins' middles, averaged over rows."""
    import numpy as np

    found = []
    for row in rows:
        table = row["table"]
        at = [i for i, name in enumerate(table["layer"]) if name == layer]
        middles = [(table["low"][i] + table["high"][i]) / 2 for i in at]
        found.append((middles, [table[column][i] for i in at]))
    grid_ = found[0][0]
    values = np.mean([np.interp(grid_, x, y, left=0.0, right=0.0) for x, y in found], axis=0).tolist()
    n = (len({row["seed"] for row in rows}),) * len(grid_)
    return Line("", tuple(grid_), tuple(values), tuple(values), tuple(values), n)

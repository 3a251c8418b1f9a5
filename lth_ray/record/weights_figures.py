"""What tickets are made of: surviving initial weights and their movement (Frankle & Carbin 2019, appendix), densities
of layers, and what masks of different seeds have in common."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from lth_ray.record.measured import by_round, by_variant, few, joined, results_of
from lth_ray.record.page import Page, styled
from lth_ray.record.panels import (
    COLOURS,
    DASHES,
    GREY,
    Line,
    Look,
    by_label,
    counted,
    draw,
    evenly,
    gather,
    grid,
    looks,
    name_panel,
    ramp,
    weights_axis,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = Mapping[str, Any]
Columns = Mapping[str, list[Any]]
MOST_LAYERS, MOST_ROUNDS, MOST_VARIANTS = 6, 5, 6
ALL = "#c4c4c4"


@styled
def surviving_figure(
    branches: Sequence[Row], curves: Callable[[str], Columns | None], title: str = "", caption: str = ""
) -> "Figure | None":
    """The distribution of initial weights, a panel for each layer: grey of all, in shades of those that survive at a
    round. curves: (key of a result) -> columns layer, low, high, all and kept, densities. None without any.

    Means over seeds, on the bins of the first: a layer's bins reach to its largest weight, which differs a little.
    """
    measured = results_of(branches, "weights", "kept_weights")
    rows = [{**row, "table": table} for row in measured if (table := curves(row["key"]))]
    if not rows:
        return None
    variants, caption = few(by_variant(rows), 2, caption)
    layers = evenly(list(dict.fromkeys(rows[0]["table"]["layer"])), MOST_LAYERS)
    columns = min(3, len(layers))
    shown = evenly(sorted({row["round"] for row in rows}), MOST_ROUNDS)
    rounds = by_round([row for row in rows if row["round"] in shown])
    shades = dict(zip(rounds, ramp(len(rounds)), strict=True))
    names = [*(f"surviving at {name}" for name in shades), "all, at initialisation"]
    height = -(-len(layers) // columns)
    page = Page.of(names, caption, len(variants) * height, columns, panel=1.9, gap=0.5, are_titled=True)
    figure, panels = page.begin()
    for i, (variant, of_variant) in enumerate(variants.items()):
        own = panels[i * height * columns : (i + 1) * height * columns]
        for panel, layer in zip(own, layers, strict=False):
            first = _mean("all", layer, list(by_round(of_variant).values())[-1])
            panel.fill_between(first.x, first.mean, color=ALL, linewidth=0, label="all, at initialisation", zorder=1)
            for name, of_round in by_round([row for row in of_variant if row["round"] in shown]).items():
                line = _mean("kept", layer, of_round)
                panel.plot(line.x, line.mean, color=shades[name].colour, linewidth=1.2, label=f"surviving at {name}")
            n = counted([(len(found), len(found)) for found in by_round(of_variant).values()])
            name_panel(panel, f"{joined(variant, layer)} ({n})")
            panel.set_xlabel("initial weight")
            panel.set_ylim(bottom=0)
        for panel in own[len(layers) :]:
            panel.set_axis_off()
    for panel in panels[::columns]:
        panel.set_ylabel("density")
    return page.finish(figure, title, by_label(panels))


def _mean(column: str, layer: str, rows: Sequence[Row]) -> Line:
    """A layer's densities at its bins' middles, averaged over rows."""
    import numpy as np

    found = []
    for row in rows:
        table = row["table"]
        at = [i for i, name in enumerate(table["layer"]) if name == layer]
        middles = [(table["low"][i] + table["high"][i]) / 2 for i in at]
        found.append((middles, [table[column][i] for i in at]))
    grid_ = found[0][0]
    values = np.mean([np.interp(grid_, x, y, left=0.0, right=0.0) for x, y in found], axis=0).tolist()
    return Line("", tuple(grid_), tuple(values), tuple(values), tuple(values))


@styled
def movement_figure(branches: Sequence[Row], title: str = "", caption: str = "") -> "Figure | None":
    """How far weights move in the training that a mask was found by, against the weights that remain after it.

    Left, the mean distance of weights that are kept and of those that are pruned; right, of the kept, the share that
    changed sign and that moved away from zero. None where nothing was measured.
    """
    rows = results_of(branches, "weights", "moved_kept")
    if not rows:
        return None
    variants, caption = few(by_variant(rows), MOST_VARIANTS, caption)
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
        panel.set_ylim(bottom=0)
        grid(panel)
    return page.finish(figure, title, by_label(panels))


def _pairs(variants: int, side: int) -> list[tuple[Look, Look]]:
    """For two quantities of each variant: of several in one colour, of a single one in four over both panels."""
    chosen = looks(variants if variants > 1 else 4)
    firsts = chosen if variants > 1 else chosen[2 * side : 2 * side + 1]
    seconds = chosen if variants > 1 else chosen[2 * side + 1 : 2 * side + 2]
    return [
        (first, replace(second, dashes=DASHES[1], is_hollow=True))
        for first, second in zip(firsts, seconds, strict=True)
    ]


@styled
def densities_figure(
    tickets: Sequence[Row], densities: Callable[[str], Mapping[str, float] | None], title: str = "", caption: str = ""
) -> "Figure | None":
    """The remaining weights of each layer against those of the network, on log scales; the dotted line is all layers
    alike. densities: (key of a ticket) -> {layer: density}. None where no round was pruned."""
    variants, caption = few(by_variant([row for row in tickets if row["round"] > 0]), MOST_VARIANTS, caption)
    for name, own in variants.items():
        variants[name] = [_with_layers(row, found) for row in own if (found := densities(row["key"]))]
    rows = [row for own in variants.values() for row in own]
    if not rows:
        return None
    layers = list(dict.fromkeys(name for row in rows for name in row["layers"]))
    is_few = len(layers) <= len(COLOURS)
    chosen = looks(len(layers)) if is_few else [replace(look, marker="") for look in ramp(len(layers))]
    columns = 1 if len(variants) == 1 else 2 if len(variants) in (2, 4) else 3
    page = Page.of(
        [*layers, "all alike"], caption, -(-len(variants) // columns), columns, panel=2.4, gap=0.45, are_titled=True
    )
    figure, panels = page.begin()
    for panel, (variant, own) in zip(panels, variants.items(), strict=False):
        percents = [100 * row["remaining_weights"] for row in own]
        panel.plot([max(percents), min(percents)], [max(percents), min(percents)], color=GREY, linewidth=0.9,
                   linestyle=(0, (1, 2)), label="all alike")  # fmt: skip
        for layer, look in zip(layers, chosen, strict=True):
            line = gather(layer, own, "remaining_weights", f"layer {layer}", x_scale=100.0, scale=100.0)
            draw(panel, replace(line, label=layer), look)
        n = counted([(len(found), len({row["seed"] for row in found})) for found in by_round(own).values()])
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


def _with_layers(row: Row, densities: Mapping[str, float]) -> Row:
    return {**row, **{f"layer {name}": value for name, value in densities.items()}, "layers": tuple(densities)}


def _percent_axis(panel: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    panel.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.yaxis.set_minor_formatter(NullFormatter())


@styled
def overlap_figure(branches: Sequence[Row], title: str = "", caption: str = "") -> "Figure | None":
    """The Jaccard overlap of the masks of two seeds against remaining weights, and that of masks drawn at random with
    the same layer densities (hollow). n counts pairs of seeds. None where none was measured."""
    rows = results_of(branches, "mask_overlap", "jaccard")
    if not rows:
        return None
    variants, caption = few(by_variant(rows), MOST_VARIANTS, caption)
    lines = []
    for look, (variant, own) in zip(looks(len(variants)), variants.items(), strict=True):
        n = counted([(len(list(found)),) * 2 for _, found in groupby(sorted(own, key=_round), _round)])
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
    panel.set_ylim(bottom=0)
    grid(panel)
    return page.finish(figure, title, by_label([panel]))


def _round(row: Row) -> int:
    return int(row["round"])

"""Ways of finding tickets at what they cost: the metric against all the training that one ticket takes."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lth_ray.config import is_there
from lth_ray.record.figures.drawing.line_styles import beside, looks
from lth_ray.record.figures.drawing.lines import counted, draw, line_of, mean_and_ends
from lth_ray.record.figures.drawing.measured import by_variant, evenly, joined, percent
from lth_ray.record.figures.drawing.page import Page, styled
from lth_ray.record.figures.drawing.panels import by_label, grid, name_panel, short
from lth_ray.record.figures.drawing.series import DENSE, dense_level
from lth_ray.record.report.tables import Row, metric_of_frame, rows_of

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COST = "ticket_flops"
MOST = 3  # densities
NEAR = 1.08  # densities within this factor are one
MANY = 0.7  # a density is shown that so large a share of the ways have
DIFFERENT = 1.1  # ways are compared where one costs this many times another
FULL = 32  # bits
CAPTION = (
    "Operations: those of all training and scoring that one ticket takes, its own training included, counted over the "
    "weights that are kept and whatever the bits of their numbers, over those of training the dense network."
)


@styled
def costs_figure(tickets: "pandas.DataFrame", title: str = "", caption: str = "") -> "Figure | None":
    """Draw the metric on the test set against the operations that finding and training a ticket took.

    A panel for each of up to three densities, and in it a point for each way of finding tickets: arm, swept value and
    method. Operations are in trainings of the dense network, whose metric is the dotted line in its band.

    tickets: as of Results.tickets().

    Mean over seeds with error bars of its 95 % t-interval. None unless several ways that cost different operations
    begin with one and the same dense network.
    """
    metric = metric_of_frame(tickets)
    test = metric.column("test")
    rows = [row for row in rows_of(tickets) if is_there(row.get(COST)) and is_there(row[test])]
    dense, ways = _dense(rows), by_variant([row for row in rows if row["round"] and row[COST]], over_points=True)
    if len(ways) < 2 or not dense:
        return None
    whole = float(dense[0][COST])
    shown = _compared(ways)
    spent = [[_cost(own, whole) for own in tickets.values()] for tickets in shown]
    if all(max(costs) < DIFFERENT * min(costs) for costs in spent):
        return None
    names = {way: joined(way, *_bits(own)) for way, own in ways.items()}
    words = "\n".join(filter(None, [CAPTION, caption]))
    labels = [DENSE, *(f"{name} (n = 00)" for name in names.values())]
    page = Page.of(labels, words, 1, len(shown), panel=2.6, gap=0.3, are_titled=True)
    figure, panels = page.begin(sharey=True)
    reached = mean_and_ends([(row["seed"], metric.scale * row[test]) for row in dense])
    chosen = dict(zip(names, looks(len(names)), strict=True))
    aside = dict(zip(names, beside(len(names)), strict=True))  # ways that differ in bits alone cost the same
    for panel, tickets_of in zip(panels, shown, strict=True):
        dense_level(panel, reached, len({row["seed"] for row in dense}))
        for way, own in tickets_of.items():
            n = counted([(len(own), len({row["seed"] for row in own}))])
            values = [(row["seed"], metric.scale * row[test]) for row in own]
            draw(panel, line_of(f"{names[way]} ({n})", {_cost(own, whole): values}), chosen[way], aside=aside[way])
        _cost_axis(panel, [cost for costs in spent for cost in costs])
        grid(panel)
        name_panel(panel, f"{short(percent([row for own in tickets_of.values() for row in own]))} % of weights")
    panels[0].set_ylabel(f"test {metric.title}")
    return page.finish(figure, title, by_label(panels))


def _dense(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of the one dense network that was trained to the end, in full precision where it was in others
    too; none where there are several.
    """
    first = [row for row in rows if row["round"] == 0]
    most = max(((row.get("train_bits", FULL), row[COST]) for row in first), default=None)
    found = [row for row in first if (row.get("train_bits", FULL), row[COST]) == most]
    keys = {(row["seed"], row["key"]) for row in found}
    networks = {row.get("inference_flops") for row in first}
    return found if len(networks) == 1 and len(keys) == len({seed for seed, _ in keys}) else []


def _compared(ways: Mapping[str, Sequence[Row]]) -> list[dict[str, list[Row]]]:
    """Return {way: tickets} of up to MOST densities, dense to sparse, that about as many ways have as any has."""
    rows = [(way, row) for way, own in ways.items() for row in own]
    found: list[dict[str, list[Row]]] = []
    least = math.inf  # the density from which on another begins
    for way, row in sorted(rows, key=lambda one: -one[1]["remaining_weights"]):
        if row["remaining_weights"] * NEAR < least:
            found.append({})
            least = row["remaining_weights"]
        found[-1].setdefault(way, []).append(row)
    enough = max(2, MANY * max(map(len, found), default=0))
    return evenly([one for one in found if len(one) >= enough], MOST)


def _cost(rows: Sequence[Row], whole: float) -> float:
    """Return the mean cost of tickets, in trainings of the dense network."""
    return math.fsum(row[COST] for row in rows) / len(rows) / whole


def _bits(rows: Sequence[Row]) -> list[str]:
    """Return what is told of the numbers of a way's trainings, where they are not float32's."""
    told = {"search_bits": "bit search", "train_bits": "bit training"}
    found = {words: {int(row[name]) for row in rows if is_there(row.get(name))} for name, words in told.items()}
    return [f"{min(bits)} {words}" for words, bits in found.items() if bits and min(bits) < FULL]


def _cost_axis(panel: "Axes", costs: Sequence[float]) -> None:
    """Put trainings of the dense network on a log scale, with ticks at powers of two."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    first, last = math.floor(math.log2(min(costs))), math.ceil(math.log2(max(costs)))
    every = max(1, math.ceil((last - first) / 5))
    powers = range(first, max(last, first + 1) + 1, every)
    panel.set_xscale("log")
    panel.set_xlim(2 ** (math.log2(min(costs)) - 0.4), 2 ** (math.log2(max(costs)) + 0.4))
    panel.xaxis.set_major_locator(FixedLocator([2.0**power for power in powers]))
    panel.xaxis.set_major_formatter(FixedFormatter([_power(power) for power in powers]))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set_xlabel("operations (dense trainings)")


def _power(power: int) -> str:
    return str(2**power) if power >= 0 else f"1/{2**-power}"

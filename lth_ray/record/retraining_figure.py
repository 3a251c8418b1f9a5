"""Retraining methods on equal terms: accuracy against what finding the ticket cost (Renda, Frankle & Carbin 2020)."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lth_ray.record.measured import joined, percent
from lth_ray.record.page import Page, styled
from lth_ray.record.panels import Look, by_label, draw, evenly, gather, grid, level, looks, name_panel, short
from lth_ray.record.summary import is_there, present

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = Mapping[str, Any]
COST = "search_epochs"
MOST_ROUNDS = 3


@styled
def retraining_figure(tickets: Sequence[Row], title: str = "", caption: str = "") -> "Figure | None":
    """Test accuracy against the epochs that a ticket took, its search among them: a row of panels for each arm, one for
    each of up to three rounds; a line for each method, whose points are rewind points. The dotted line is the dense
    network. None unless tickets of several methods say what they cost.
    """
    rows = [row for row in tickets if is_there(row.get(COST)) and is_there(row["test_accuracy"])]
    methods = list(dict.fromkeys(row["method"] for row in rows if row["round"] > 0))
    if len(methods) < 2:
        return None
    arms = {row["arm"]: [other for other in rows if other["arm"] == row["arm"]] for row in rows}
    rounds = evenly(sorted({row["round"] for row in rows} - {0}), MOST_ROUNDS)
    names = [f"{method.replace('_', ' ')} (n = 00)" for method in methods]
    page = Page.of(names, caption, len(arms), len(rounds), panel=2.3, gap=0.3, are_titled=True)
    figure, panels = page.begin(sharey=True)
    chosen = dict(zip(methods, looks(len(methods)), strict=True))
    for i, (arm, own) in enumerate(arms.items()):
        for panel, number in zip(panels[i * len(rounds) :], rounds, strict=False):
            _methods(panel, arm, own, number, chosen)
    for panel in panels[:: len(rounds)]:
        panel.set_ylabel("test accuracy (%)")
    return page.finish(figure, title, by_label(panels))


def _methods(panel: "Axes", arm: str, rows: Sequence[Row], number: int, chosen: Mapping[str, Look]) -> None:
    dense = present([row for row in rows if row["round"] == 0], "test_accuracy")
    if dense:
        level(panel, 100 * math.fsum(dense) / len(dense), "dense")
    of_round = [row for row in rows if row["round"] == number]
    for method, look in chosen.items():
        own = [row for row in of_round if row["method"] == method]
        line = gather(method.replace("_", " "), own, COST, "test_accuracy", scale=100.0)
        if line.x:
            draw(panel, line, look)
    if of_round:
        name_panel(panel, joined(arm.replace("_", " "), f"{short(percent(of_round))} % of weights"))
    panel.set_xlabel("search cost (epochs)")
    grid(panel)

"""Retraining methods on equal terms: the metric against compression, and against what finding the ticket
cost.

After Renda, Frankle & Carbin 2020, figures of sections 4 and 5.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lth_ray.config import ACCURACY, Metric, is_there
from lth_ray.record.figures.drawing.line_styles import Look, beside, looks
from lth_ray.record.figures.drawing.lines import draw, gather, mean_and_ends
from lth_ray.record.figures.drawing.measured import evenly, joined, percent, stem_of
from lth_ray.record.figures.drawing.page import Page, styled
from lth_ray.record.figures.drawing.panels import by_label, compression_axis, grid, name_panel, short
from lth_ray.record.figures.drawing.series import DENSE, dense_level
from lth_ray.record.report.tables import Row, metric_of_frame, rows_of

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COST = "search_epochs"
MOST_ROUNDS = 2
BEST = "Against compression: of each method the retraining time that is best at each density, by mean {} {}."


@styled
def retraining_figure(tickets: "pandas.DataFrame", title: str = "", caption: str = "") -> "Figure | None":
    """Draw the metric on the test set by retraining method, a row of panels for each arm and whatever else
    varies.

    Left, against compression, 1 / density, each method at the retraining time that does it best; right, at up
    to two densities, against the epochs that a ticket took with its search, a point for each retraining time.
    Points are the mean over seeds with error bars of its 95 % t-interval; the dotted line in its band is the
    dense network. Returns None unless tickets of several methods say what they cost.

    tickets: as of Results.tickets().
    """
    metric = metric_of_frame(tickets)
    test = metric.column("test")
    rows = [row for row in rows_of(tickets) if is_there(row.get(COST)) and is_there(row[test])]
    methods = list(dict.fromkeys(row["method"] for row in rows if row["round"] > 0))
    if len(methods) < 2:
        return None
    arms: dict[str, list[Row]] = {}
    for row in rows:
        arms.setdefault(_but_the_method(row), []).append(row)
    rounds = evenly(sorted({row["round"] for row in rows} - {0}), MOST_ROUNDS + 1)[-MOST_ROUNDS:]  # not the densest
    split = metric.judging(rows)
    best = BEST.format(split, metric.called)
    words = "\n".join(filter(None, [best, caption]))
    names = [DENSE, *(f"{method.replace('_', ' ')} (n = 00)" for method in methods)]
    page = Page.of(names, words, len(arms), 1 + len(rounds), panel=2.3, gap=0.3, are_titled=True)
    figure, panels = page.begin(sharey=True)
    chosen = dict(zip(methods, looks(len(methods)), strict=True))
    for i, (arm, own) in enumerate(arms.items()):
        first, *others = panels[i * page.columns : (i + 1) * page.columns]
        _compression(first, arm, own, chosen, metric.column(split), metric)
        for panel, number in zip(others, rounds, strict=True):
            _cost(panel, arm, own, number, chosen, metric)
        first.set_ylabel(f"test {metric.title}")
    return page.finish(figure, title, by_label(panels))


def _compression(
    panel: "Axes", arm: str, rows: Sequence[Row], chosen: Mapping[str, Look], judged: str, metric: Metric
) -> None:
    kept = [{**row, "compression": 1 / row["remaining_weights"]} for row in rows if row["round"] > 0]
    lines = {method: best_points([row for row in kept if row["method"] == method], judged, metric) for method in chosen}
    _draw(panel, rows, lines, chosen, "compression", metric)
    compression_axis(panel, [row["compression"] for row in kept])
    name_panel(panel, joined(arm, "each at its best"))


def _cost(
    panel: "Axes", arm: str, rows: Sequence[Row], number: int, chosen: Mapping[str, Look], metric: Metric
) -> None:
    of_round = [row for row in rows if row["round"] == number]
    lines = {method: [row for row in of_round if row["method"] == method] for method in chosen}
    _draw(panel, rows, lines, chosen, COST, metric)
    if of_round:
        name_panel(panel, joined(arm, f"{short(percent(of_round))} % of weights"))
    panel.set_xlabel("search cost (epochs)")
    panel.locator_params(axis="x", nbins=5)


def _draw(
    panel: "Axes",
    rows: Sequence[Row],
    lines: Mapping[str, Sequence[Row]],
    chosen: Mapping[str, Look],
    x: str,
    metric: Metric,
) -> None:
    test, scale = metric.column("test"), metric.scale
    dense = [(row["seed"], scale * row[test]) for row in rows if row["round"] == 0]
    if dense:
        dense_level(panel, mean_and_ends(dense), len({seed for seed, _ in dense}))
    for (method, own), aside in zip(lines.items(), beside(len(lines)), strict=True):
        line = gather(method.replace("_", " "), own, x, test, scale=scale)
        if line.x:
            draw(panel, line, chosen[method], aside=aside)
    grid(panel)


def _but_the_method(row: Row) -> str:
    """Return a lineage's name in words without seed, rewind point and method, which the panels go over."""
    method = str(row["method"]).replace("_", " ")
    return joined(*(part for part in stem_of(row).split(", ") if part != method))


def best_points(rows: Sequence[Row], judged: str, metric: Metric = ACCURACY) -> list[Row]:
    """Return at each round the rows of that rewind point whose mean of `judged` is the best, the earliest of
    equals.
    """
    found: dict[int, dict[int, list[Row]]] = {}
    for row in sorted(rows, key=lambda row: (row["round"], row["rewind_step"])):
        found.setdefault(row["round"], {}).setdefault(row["rewind_step"], []).append(row)

    def gained(own: Sequence[Row]) -> float:
        return metric.gain(_mean(own, judged), 0.0)

    return [row for points in found.values() for row in max(points.values(), key=gained)]


def _mean(rows: Sequence[Row], column: str) -> float:
    return math.fsum(row[column] for row in rows) / len(rows)

"""Training curves by density (Frankle & Carbin 2019, figure 3)."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lth_ray.config import is_there
from lth_ray.record.figures.drawing.line_styles import Look, ramp
from lth_ray.record.figures.drawing.lines import Line, counted, draw, line_of
from lth_ray.record.figures.drawing.measured import by_variant, evenly, few, percent
from lth_ray.record.figures.drawing.page import Page, styled
from lth_ray.record.figures.drawing.panels import by_label, compact, grid, name_panel, short
from lth_ray.record.report import long_tables
from lth_ray.record.report.tables import Row, metric_of_frame, rows_of

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_VARIANTS, MOST_ROUNDS = 6, 5
LEAST = 3  # evaluations that make a curve
START = 0.25  # the share of training in which curves may leave the axes
ALIKE = 1.02  # densities of a round, where it is named by them
LOSS = "validation_loss"


@styled
def curves_figure(curves: "pandas.DataFrame", title: str = "", caption: str = "") -> "Figure | None":
    """Draw the metric on the test set over training, a line for each density, from dense (dark) to sparse
    (light).

    There is a panel for each arm and rewind point; where there is one only, the validation loss stands beside
    it. Lines are the mean over seeds in a band, its 95 % t-interval. What lies far off in the first quarter
    of training is cut. Returns None where no ticket was evaluated three times.

    curves: as of Results.curves(), a row for each evaluation; or Results.tickets(), whose curves are then read.
    """
    metric = metric_of_frame(curves)
    test = metric.column("test")
    rows = [row for row in rows_of(long_tables.curves(curves)) if is_there(row[test])]
    if max(Counter((row["lineage"], row["key"]) for row in rows).values(), default=0) < LEAST:
        return None
    variants, caption = few(by_variant(rows), MOST_VARIANTS, caption)
    rounds = evenly(sorted({row["round"] for row in rows}), MOST_ROUNDS)
    names = {number: _density(number, [row for row in rows if row["round"] == number]) for number in rounds}
    chosen = dict(zip(rounds, ramp(len(rounds), is_dashed=True), strict=True))
    has_loss = len(variants) == 1 and any(is_there(row.get(LOSS)) for row in rows)
    columns = 2 if has_loss or len(variants) in (2, 4) else min(3, len(variants))
    height = -(-len(variants) // columns)
    gap = 0.62 if has_loss else 0.35
    page = Page.of(list(names.values()), caption, height, columns, panel=2.4, gap=gap, are_titled=True)
    figure, panels = page.begin(sharey=not has_loss)
    for panel, (variant, own) in zip(panels, variants.items(), strict=False):
        _draw(panel, [(_line(own, number, test, metric.scale, names[number]), chosen[number]) for number in rounds])
        name_panel(panel, f"{variant} ({_n(own)})" if variant else _n(own))
    kept = [metric.scale * value for value in _after_the_start([row for own in variants.values() for row in own], test)]
    low, high = panels[0].get_ylim()
    if metric.better == "higher":
        panels[0].set_ylim(bottom=max(low, min(kept) - 0.1 * (high - min(kept))))
    else:
        panels[0].set_ylim(top=min(high, max(kept) + 0.1 * (max(kept) - low)))
    for panel in panels[::columns]:
        panel.set_ylabel(f"test {metric.title}")
    if has_loss:
        _draw(panels[1], [(_line(rows, number, LOSS, 1.0, names[number]), chosen[number]) for number in rounds])
        panels[1].set_ylim(top=min(panels[1].get_ylim()[1], 1.15 * max(_after_the_start(rows, LOSS))))
        panels[1].set_ylabel("validation loss")
    for panel in panels[len(variants) + has_loss :]:
        panel.set_axis_off()
    return page.finish(figure, title, by_label(panels[:1]))


def _density(number: int, rows: Sequence[Row]) -> str:
    """Return "51.2 % of weights", or the round's number where arms differ in density."""
    densities = [row["remaining_weights"] for row in rows]
    return f"{short(percent(rows))} % of weights" if max(densities) < ALIKE * min(densities) else f"round {number}"


def _line(rows: Sequence[Row], number: int, column: str, scale: float, name: str) -> Line:
    """Return mean and interval at each step that all runs of the round have in common."""
    runs: dict[tuple[str, int], dict[int, float]] = {}
    for row in rows:
        if row["round"] == number and is_there(row.get(column)):
            runs.setdefault((row["key"], row["seed"]), {})[row["step"]] = scale * row[column]
    shared = sorted(set.intersection(*map(set, runs.values()))) if runs else []
    return line_of(name, {step: [(seed, run[step]) for (_, seed), run in runs.items()] for step in shared})


def _draw(panel: "Axes", lines: Sequence[tuple[Line, Look]]) -> None:
    from matplotlib.ticker import FuncFormatter

    for i, (line, look) in enumerate(lines):
        draw(panel, line, look, order=10 - i / 10)
    panel.xaxis.set_major_formatter(FuncFormatter(lambda step, _: compact(step)))
    panel.locator_params(axis="x", nbins=6)
    panel.set_xlim(left=0)
    panel.set_xlabel("step of training")
    grid(panel)


def _after_the_start(rows: Sequence[Row], column: str) -> list[float]:
    last = max(row["step"] for row in rows)
    return [row[column] for row in rows if is_there(row.get(column)) and row["step"] >= START * last]


def _n(rows: Sequence[Row]) -> str:
    runs: dict[int, dict[str, int]] = {}
    for row in rows:
        runs.setdefault(row["round"], {})[row["key"]] = row["seed"]
    return counted([(len(keys), len(set(keys.values()))) for keys in runs.values()])

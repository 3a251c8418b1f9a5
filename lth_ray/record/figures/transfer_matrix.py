"""Heat maps of sources x targets: tickets trained on what they were not found on (after Morcos et al. 2019)."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from lth_ray.config import Metric
from lth_ray.record.figures.drawing.cells import CELL, Cells, draw_cells
from lth_ray.record.figures.drawing.lines import SPREAD
from lth_ray.record.figures.drawing.page import Page, styled
from lth_ray.record.figures.drawing.panels import name_panel
from lth_ray.record.report.tables import metric_of_frame, rows_of
from lth_ray.record.report.transfer_matrix import Cell, cells

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

OVER = {
    "control": "less its control",
    "own": "less the target's own ticket",
    "dense": "less the target's dense network",
}
WORDS = (
    "Rows: where tickets were found; columns: what they were then trained on. Cells: mean, ± half its {}; n = {} "
    "for each. A control has newly drawn weights and the mask, permuted over all layers."
)
LINE = 48  # characters of the columns' names, one beside another


@styled
def transfer_matrix_figure(results: "pandas.DataFrame", title: str = "", caption: str = "") -> "Figure | None":
    """Draw sources over targets at the sparsest round that was transferred.

    Panels are the metric on the test set, and it less that of the same source's control, of the target's own ticket
    and of the target's dense network, paired by seed, as far as they were trained. A cell holds the mean over seeds and
    under it half its 95 % t-interval. Returns None unless there are two sources or two targets.

    results: the rows of Results.tickets() and Results.branches(), one under the other.
    """
    rows, metric = rows_of(results), metric_of_frame(results)
    found = cells([row for row in rows if not row.get("branch")], [row for row in rows if row.get("branch")], metric)
    last = max((cell.round for cell in found), default=0)
    found = [cell for cell in found if cell.round == last]
    sources = list(dict.fromkeys(cell.source for cell in found))
    targets = sorted({cell.target for cell in found}, key=lambda name: _place(name, sources, found))
    if max(len(sources), len(targets)) < 2:
        return None
    drawn = [panel for panel in _panels(found, metric) if panel.values]
    columns = 1 if len(drawn) == 1 else 2
    words = "\n".join(filter(None, [WORDS.format(SPREAD, _n(found)), caption]))
    labels = [textwrap.fill(name, max(6, LINE // len(targets))) for name in targets]
    lines = max(label.count("\n") for label in labels)
    height = max(CELL * len(sources), 2 * CELL)
    page_rows = -(-len(drawn) // columns)
    feet = [Page.TEXT_LINE * lines] * page_rows
    page = Page.of([], words, page_rows, columns, panel=height, gap=0.75, are_titled=True, feet=feet)
    figure, panels = page.begin()
    for panel, one in zip(panels, drawn, strict=False):
        draw_cells(panel, one, sources[::-1], targets, labels, max(metric.decimals - 1, 0))
        name_panel(panel, one.name)
        panel.set_ylabel("source")
        panel.set_xlabel("target")
    for panel in panels[len(drawn) :]:
        panel.set_axis_off()
    return page.finish(figure, title, ([], []))


def _place(name: str, sources: Sequence[str], found: Sequence[Cell]) -> tuple[int, int]:
    """Return where a target stands: targets that are sources, too, in these' order, then the others."""
    first = next(i for i, cell in enumerate(found) if cell.target == name)
    return (sources.index(name), first) if name in sources else (len(sources), first)


def _panels(found: Sequence[Cell], metric: Metric) -> list[Cells]:
    left = 100 * sum(cell.remaining_weights for cell in found) / max(1, len(found))
    unit = " (pp)" if metric.points == "pp" else metric.points and f" ({metric.points})"
    panels = [_of(f"test {metric.title}, {left:.3g} % of weights", found, lambda cell: cell.values, metric)]
    for name, said in OVER.items():
        one = _of(f"{said}{unit}", found, lambda cell, name=name: cell.over[name], metric)  # type: ignore[misc]
        values = {place: own for place, own in one.values.items() if name != "own" or place[0] != place[1]}
        panels.append(Cells(one.name, values, (0.0,)))
    return panels


def _of(name: str, found: Sequence[Cell], of: Callable[[Cell], Mapping[int, float]], metric: Metric) -> Cells:
    values = {
        (cell.source, cell.target): [(seed, metric.scale * value) for seed, value in of(cell).items()] for cell in found
    }
    return Cells(name, {place: own for place, own in values.items() if own})


def _n(found: Sequence[Cell]) -> str:
    counts = sorted({len(cell.values) for cell in found})
    return f"{'-'.join(map(str, dict.fromkeys((counts[0], counts[-1]))))} seed{'s' * (counts[-1] > 1)}"

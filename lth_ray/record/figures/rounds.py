"""Successive rounds: whether tickets match exactly where they are linearly connected to the round before (Paul et al.
2023, section 3)."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lth_ray.config import Metric, is_there
from lth_ray.record.figures.drawing.line_styles import looks
from lth_ray.record.figures.drawing.lines import draw, gather, mean_and_ends
from lth_ray.record.figures.drawing.measured import by_variant, few, results_of
from lth_ray.record.figures.drawing.page import Page, styled
from lth_ray.record.figures.drawing.panels import by_label, grid, level, weights_axis
from lth_ray.record.figures.instability import STABLE
from lth_ray.record.report.tables import Row, metric_of_frame, rows_of

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

MOST_VARIANTS = 6
CONNECTED = f"connected: under {STABLE:g} %"


@styled
def rounds_figure(
    results: "pandas.DataFrame", title: str = "", caption: str = "", margin: float | None = None
) -> "Figure | None":
    """Draw, against the weights that a ticket keeps, the error barrier on the line to the ticket of the round before,
    and beside it by how much the ticket is better than its dense network.

    Rounds under the left dotted line are called connected; tickets over the right one, the margin, match. The caption
    counts how many rounds are both, by the means over seeds. None where no two successive rounds were compared.

    results: the rows of Results.tickets() and Results.branches(), one under the other.
    margin: of matching, in the metric's own values; by default the metric's.
    """
    metric = metric_of_frame(results)
    rows = rows_of(results)
    compared = _compared(rows, metric)
    if not compared:
        return None
    margin = metric.margin if margin is None else margin
    variants, caption = few(by_variant(compared), MOST_VARIANTS, caption)
    lines = [
        (
            gather(name or "tickets", own, "remaining_weights", "lmc_error_barrier", x_scale=100.0, scale=metric.scale),
            gather(name or "tickets", own, "remaining_weights", "gain", x_scale=100.0, scale=metric.scale),
            look,
        )
        for (name, own), look in zip(variants.items(), looks(len(variants)), strict=True)
    ]
    matching = f"matching: {metric.difference(-margin)} and up"
    words = [CONNECTED] if metric.is_share else []
    counts = _counts(list(variants.values()), margin) if metric.is_share else ""
    labels = [line.label for line, _, _ in lines]
    page = Page.of([*labels, *words, matching], "\n".join(filter(None, [counts, caption])), 1, 2)
    figure, panels = page.begin()
    for barrier, gain, look in lines:
        draw(panels[0], barrier, look)
        draw(panels[1], gain, look)
    if metric.is_share:
        level(panels[0], STABLE, CONNECTED)
    level(panels[1], -metric.scale * margin, matching)
    panels[0].set_ylabel(f"{metric.barrier}, to the round before")
    gained = (
        f"{metric.called} over the dense network's"
        if metric.better == "higher"
        else f"{metric.called} under the dense network's"
    )
    panels[1].set_ylabel(f"{gained} ({metric.points})" if metric.points else gained)
    for panel in panels:
        weights_axis(panel, [100 * row["remaining_weights"] for row in compared])
        grid(panel)
    return page.finish(figure, title, by_label(panels))


def _compared(rows: Sequence[Row], metric: Metric) -> list[dict[str, Any]]:
    """Return the rows of lines to the round before, with the gain of their tickets over the dense network."""
    test = metric.column("test")
    tickets = {(row["lineage"], row["round"]): row.get(test) for row in rows if not row.get("branch")}
    found = []
    for row in results_of([row for row in rows if row.get("branch")], "connectivity", "lmc_error_barrier"):
        dense, own = tickets.get((row["lineage"], 0)), tickets.get((row["lineage"], row["round"]))
        if row.get("to") == "previous" and "/" not in row["branch"] and is_there(dense) and is_there(own):
            found.append({**row, "gain": metric.gain(own, dense)})  # type: ignore[arg-type]
    return found


def _counts(variants: Sequence[Sequence[Row]], margin: float) -> str:
    """Return how many rounds are connected and match, by the means over seeds of their barriers and gains."""
    found: list[tuple[bool, bool]] = []
    for rows in variants:
        for number in sorted({row["round"] for row in rows}):
            own = [row for row in rows if row["round"] == number]
            barrier, gain = (
                mean_and_ends((row["seed"], row[name]) for row in own)[0] for name in ("lmc_error_barrier", "gain")
            )
            if not math.isnan(barrier + gain):
                found.append((100 * barrier < STABLE, gain >= -margin))
    both, neither = found.count((True, True)), found.count((False, False))
    connected, matching = found.count((True, False)), found.count((False, True))
    return (
        f"Of {len(found)} rounds, by means over seeds, {both} are connected and match; connected alone: {connected}; "
        f"matching alone: {matching}; neither: {neither}."
    )

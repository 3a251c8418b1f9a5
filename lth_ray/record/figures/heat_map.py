"""A heat map of a swept field at each rewind point, such as of warm-up x k (after Frankle et al. 2020a, table
1).
"""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lth_ray.config import Metric, is_there
from lth_ray.record.figures.drawing.cells import CELL, Cells, draw_cells
from lth_ray.record.figures.drawing.lines import SPREAD
from lth_ray.record.figures.drawing.measured import by_variant, few, joined, percent, spawned_later
from lth_ray.record.figures.drawing.page import Page, styled
from lth_ray.record.figures.drawing.panels import compact, name_panel, short
from lth_ray.record.figures.instability import PARAMETERS, STABLE
from lth_ray.record.report.summary import chain, measures
from lth_ray.record.report.tables import Row, branch_columns, metric_of_frame, rows_of
from lth_ray.record.report.wording import LENGTH, length_said, ranged

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

FIRST = "train.warmup"  # of several swept fields
MOST_VARIANTS = 3


@styled
def heat_map_figure(
    results: "pandas.DataFrame", title: str = "", caption: str = "", field: str | None = None
) -> "Figure | None":
    """Draw tickets over a swept field and the rewind step k.

    At the sparsest round, these are the metric on the test set and its change from the dense network of the
    same run; where barriers were measured, those of the dense network and of the tickets. A cell holds the
    mean over seeds, a seed's copies averaged first, and under it half its 95 % t-interval. Whatever else
    varies, arms and other sweeps, has panels of its own. Returns None unless two values of the field meet two
    rewind steps.

    results: the rows of Results.tickets() and Results.branches(), one under the other.
    field: by default the warm-up, else the first that is swept.
    """
    rows, metric = rows_of(results), metric_of_frame(results)
    tickets = [row for row in rows if not row.get("branch")]
    field = field or _field(tickets, metric)
    if field is None:
        return None
    variants, caption = few(_maps(rows, field), MOST_VARIANTS, caption)
    found = [cells for variant, own in variants.items() for cells in _of_variant(variant, own, field, metric)]
    if not found:
        return None
    values, steps = _axes(tickets, field)
    columns = 1 if len(found) == 1 else 2
    words = "\n".join(filter(None, [f"Cells: mean, ± half its {SPREAD}; n = {_n(found)} seeds for each.", caption]))
    height = CELL * len(values)
    page = Page.of([], words, -(-len(found) // columns), columns, panel=height, gap=0.75, are_titled=True)
    figure, panels = page.begin()
    for panel, cells in zip(panels, found, strict=False):
        draw_cells(panel, cells, values, steps, [compact(step) for step in steps], max(metric.decimals - 1, 0))
        name_panel(panel, cells.name)
        panel.set_ylabel(_name(field, tickets))
        panel.set_xlabel("rewind step k")
    for panel in panels[len(found) :]:
        panel.set_axis_off()
    return page.finish(figure, title, ([], []))


def _axes(tickets: Sequence[Row], field: str) -> tuple[list[str], list[int]]:
    values = sorted({_said(row[field]) for row in tickets if is_there(row.get(field))}, key=_place)
    return values, sorted({row["rewind_step"] for row in tickets})


def _maps(rows: Sequence[Row], field: str) -> dict[str, list[Row]]:
    """Return rows by all that is neither axis, where two values of the field meet two rewind steps."""
    variants = by_variant(rows, over_points=True, over_field=field)
    axes = {name: _axes([row for row in own if not row.get("branch")], field) for name, own in variants.items()}
    return {name: own for name, own in variants.items() if all(len(axis) > 1 for axis in axes[name])}


def _of_variant(variant: str, rows: Sequence[Row], field: str, metric: Metric) -> list[Cells]:
    tickets = [row for row in rows if not row.get("branch")]
    found = [cells for cells in (*_judged(tickets, field, metric), *_barriers(rows, field, metric)) if cells.values]
    return [replace(cells, name=joined(variant, cells.name)) for cells in found]


def _field(tickets: Sequence[Row], metric: Metric) -> str | None:
    """Return the swept field that the figure is about."""
    fixed = branch_columns(metric)
    swept = [name for row in tickets[:1] for name in row if name not in fixed]
    several = [name for name in swept if len({_said(row[name]) for row in tickets if is_there(row.get(name))}) > 1]
    return FIRST if FIRST in several else next(iter(several), None)


def _name(field: str, tickets: Sequence[Row]) -> str:
    """Return "warmup (steps)"."""
    are_steps = all(str(row[field]).startswith("steps(") for row in tickets if is_there(row.get(field)))
    return field.rpartition(".")[2].replace("_", " ") + (" (steps)" if are_steps else "")


def _said(value: Any) -> str:
    """Return "2k" of "steps(2000)", "5 epochs" of "epochs(5)"; others as they are."""
    found = LENGTH.match(str(value))
    if found and found[1] == "steps":
        return compact(float(found[2]))
    return f"{value:g}" if isinstance(value, float) else length_said(str(value))


def _place(said: str) -> tuple[float, str]:
    number = re.match(r"[\d.]+", said)
    factor = {"k": 1e3, "M": 1e6}.get(said[number.end() :] if number else "", 1.0)
    return (factor * float(number[0]) if number else math.inf), said


def _judged(tickets: Sequence[Row], field: str, metric: Metric) -> list[Cells]:
    """Return the metric at the sparsest round, and its change from the dense network of the same lineage."""
    last, test = max(row["round"] for row in tickets), metric.column("test")
    dense = {row["lineage"]: row[test] for row in tickets if row["round"] == 0}
    sparse = [row for row in tickets if row["round"] == last and is_there(row[test])]
    if not last or not sparse:
        return []
    changes = [
        {**row, "change": row[test] - dense[row["lineage"]]} for row in sparse if is_there(dense.get(row["lineage"]))
    ]
    at = f"{short(percent(sparse))} % of weights"
    unit = " (percentage points)" if metric.points == "pp" else metric.points and f" ({metric.points})"
    return [
        Cells(f"test {metric.title}, {at}", _cells(sparse, field, test, metric)),
        Cells(f"change from dense{unit}", _cells(changes, field, "change", metric)),
    ]


def _barriers(rows: Sequence[Row], field: str, metric: Metric) -> list[Cells]:
    """Return those of the dense network, and of tickets at the sparsest round measured; apart by whatever
    barriers vary.
    """
    barriers = [row for row in rows if measures(row, "barrier") and is_there(row.get("lmc_error_barrier"))]
    parameters = (*PARAMETERS, "spawn_step") if spawned_later(barriers) else PARAMETERS
    found, shades = [], (0.0, STABLE) if metric.is_share else (0.0,)
    for kind in ("dense", "ticket"):
        own = [row for row in barriers if chain(row) == kind]
        own = [row for row in own if row["round"] == max(other["round"] for other in own)]
        at = f"{short(percent(own))} % of weights" if own and kind == "ticket" else ""
        for variant, alike in by_variant(own, parameters, over_points=True, over_field=field).items():
            name = joined(f"{metric.barrier}, {kind}", at, variant)
            found.append(Cells(name, _cells(alike, field, "lmc_error_barrier", metric), shades))
    return found


def _cells(
    rows: Sequence[Row], field: str, column: str, metric: Metric
) -> dict[tuple[str, int], list[tuple[int, float]]]:
    found: dict[tuple[str, int], list[tuple[int, float]]] = {}
    for row in rows:
        if is_there(row.get(field)):
            found.setdefault((_said(row[field]), row["rewind_step"]), []).append(
                (row["seed"], metric.scale * row[column])
            )
    return found


def _n(found: Sequence[Cells]) -> str:
    counts = sorted({len(dict(values)) for cells in found for values in cells.values.values()})
    return ranged(*dict.fromkeys((counts[0], counts[-1])))

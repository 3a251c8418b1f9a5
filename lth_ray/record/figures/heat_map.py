"""What a swept field does at each rewind point: a heat map, such as of warm-up x k (after Frankle et al. 2020a,
table 1)."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lth_ray.record.figures.instability import STABLE
from lth_ray.record.figures.measured import joined, percent, rows_of
from lth_ray.record.figures.page import Page, styled
from lth_ray.record.figures.panels import compact, name_panel, short
from lth_ray.record.subnetworks import measures, subnetwork
from lth_ray.record.summary import is_there
from lth_ray.record.tables import BRANCH_COLUMNS
from lth_ray.record.wording import LENGTH, length_said

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = Mapping[str, Any]
FIRST = "train.warmup"  # of several swept fields
CELL, DARK = 0.42, 0.45  # height of a row, inches; the luminance under which a cell's words are white


@dataclass(frozen=True)
class Cells:
    """{(value of the field, k): a quantity, seed by seed}. shades: the span that they have at least."""

    name: str
    values: Mapping[tuple[str, int], Sequence[float]]
    shades: tuple[float, ...] = ()


@styled
def heat_map_figure(
    results: "pandas.DataFrame", title: str = "", caption: str = "", field: str | None = None
) -> "Figure | None":
    """Tickets over a swept field and the rewind step k: at the sparsest round, the test accuracy and its change from
    the dense network of the same run; where barriers were measured, those of the dense network and of the tickets.

    results: the rows of Results.tickets() and Results.branches(), one under the other. field: by default the warm-up,
    else the first that is swept. A cell holds the mean over seeds and copies, and under it its least and greatest.
    None unless two values of the field meet two rewind steps.
    """
    rows = rows_of(results)
    tickets = [row for row in rows if not row.get("branch")]
    field = field or _field(tickets)
    if field is None:
        return None
    values = sorted({_said(row[field]) for row in tickets if is_there(row.get(field))}, key=_place)
    steps = sorted({row["rewind_step"] for row in tickets})
    if len(values) < 2 or len(steps) < 2:
        return None
    found = [cells for cells in (*_accuracies(tickets, field), *_barriers(rows, field)) if cells.values]
    columns = 1 if len(found) == 1 else 2
    n = _n(found)
    words = "\n".join(filter(None, [f"Cells: mean, and minimum to maximum; n = {n} for each.", caption]))
    height = CELL * len(values)
    page = Page.of([], words, -(-len(found) // columns), columns, panel=height, gap=0.75, are_titled=True)
    figure, panels = page.begin()
    for panel, cells in zip(panels, found, strict=False):
        _draw(panel, cells, values, steps)
        name_panel(panel, cells.name)
        panel.set_ylabel(_name(field, tickets))
        panel.set_xlabel("rewind step k")
    for panel in panels[len(found) :]:
        panel.set_axis_off()
    return page.finish(figure, title, ([], []))


def _field(tickets: Sequence[Row]) -> str | None:
    """The swept field that the figure is about."""
    swept = [name for row in tickets[:1] for name in row if name not in BRANCH_COLUMNS]
    several = [name for name in swept if len({_said(row[name]) for row in tickets if is_there(row.get(name))}) > 1]
    return FIRST if FIRST in several else next(iter(several), None)


def _name(field: str, tickets: Sequence[Row]) -> str:
    """ "warmup (steps)" """
    are_steps = all(str(row[field]).startswith("steps(") for row in tickets if is_there(row.get(field)))
    return field.rpartition(".")[2].replace("_", " ") + (" (steps)" if are_steps else "")


def _said(value: Any) -> str:
    """ "2k" of "steps(2000)", "5 epochs" of "epochs(5)"; others as they are."""
    found = LENGTH.match(str(value))
    if found and found[1] == "steps":
        return compact(float(found[2]))
    return f"{value:g}" if isinstance(value, float) else length_said(str(value))


def _place(said: str) -> tuple[float, str]:
    number = re.match(r"[\d.]+", said)
    factor = {"k": 1e3, "M": 1e6}.get(said[number.end() :] if number else "", 1.0)
    return (factor * float(number[0]) if number else math.inf), said


def _accuracies(tickets: Sequence[Row], field: str) -> list[Cells]:
    """At the sparsest round, and its change from the dense network of the same lineage."""
    last = max(row["round"] for row in tickets)
    dense = {row["lineage"]: row["test_accuracy"] for row in tickets if row["round"] == 0}
    sparse = [row for row in tickets if row["round"] == last and is_there(row["test_accuracy"])]
    if not last or not sparse:
        return []
    changes = [
        {**row, "change": row["test_accuracy"] - dense[row["lineage"]]}
        for row in sparse if is_there(dense.get(row["lineage"]))
    ]  # fmt: skip
    at = f"{short(percent(sparse))} % of weights"
    return [
        Cells(f"test accuracy (%), {at}", _cells(sparse, field, "test_accuracy")),
        Cells("change from dense (percentage points)", _cells(changes, field, "change")),
    ]


def _barriers(rows: Sequence[Row], field: str) -> list[Cells]:
    """Of the dense network, and of tickets at the sparsest round measured."""
    barriers = [row for row in rows if measures(row, "barrier") and is_there(row.get("lmc_error_barrier"))]
    found = []
    for kind in ("dense", "ticket"):
        own = [row for row in barriers if subnetwork(row) == kind]
        own = [row for row in own if row["round"] == max(other["round"] for other in own)]
        at = f"{short(percent(own))} % of weights" if own and kind == "ticket" else ""
        name = joined(f"error barrier (%), {kind}", at)
        found.append(Cells(name, _cells(own, field, "lmc_error_barrier"), (0.0, STABLE)))
    return found


def _cells(rows: Sequence[Row], field: str, column: str) -> dict[tuple[str, int], list[float]]:
    found: dict[tuple[str, int], list[float]] = {}
    for row in rows:
        if is_there(row.get(field)):
            found.setdefault((_said(row[field]), row["rewind_step"]), []).append(100 * row[column])
    return found


def _n(found: Sequence[Cells]) -> str:
    counts = sorted({len(values) for cells in found for values in cells.values.values()})
    return "-".join(map(str, dict.fromkeys((counts[0], counts[-1]))))


def _draw(panel: "Axes", cells: Cells, values: Sequence[str], steps: Sequence[int]) -> None:
    """Dark is low, in a colour map that is even in grey."""
    import matplotlib

    shades = matplotlib.colormaps["cividis"]
    means = {place: math.fsum(own) / len(own) for place, own in cells.values.items()}
    low, high = min([*means.values(), *cells.shades]), max([*means.values(), *cells.shades])
    for (value, step), mean in means.items():
        x, y = steps.index(step), values.index(value)
        colour = shades((mean - low) / (high - low) if high > low else 0.5)
        own = cells.values[value, step]
        red, green, blue, _ = colour
        words = "white" if 0.3 * red + 0.6 * green + 0.1 * blue < DARK else "black"
        panel.fill_between([x - 0.48, x + 0.48], y - 0.46, y + 0.46, color=colour, linewidth=0)
        panel.text(x, y + (0.16 if len(own) > 1 else 0), f"{mean:.1f}", ha="center", va="center", color=words)
        if len(own) > 1:
            panel.text(
                x, y - 0.22, f"{min(own):.1f} to {max(own):.1f}", ha="center", va="center", fontsize=6, color=words
            )  # fmt: skip
    panel.set_xlim(-0.5, len(steps) - 0.5)
    panel.set_ylim(-0.5, len(values) - 0.5)
    panel.set_xticks(range(len(steps)), [compact(step) for step in steps])
    panel.set_yticks(range(len(values)), values)
    panel.tick_params(length=0)
    for spine in panel.spines.values():
        spine.set_visible(False)

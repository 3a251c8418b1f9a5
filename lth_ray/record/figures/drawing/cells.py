"""Cells of a heat map: means over seeds with their intervals, dark where they are low."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lth_ray.record.figures.drawing.drawn import keep
from lth_ray.record.figures.drawing.lines import mean_and_ends

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CELL, DARK = 0.42, 0.45  # height of a row, inches; the luminance under which a cell's words are white


@dataclass(frozen=True)
class Cells:
    """The results {(row, column): (seed, quantity)}.

    shades: the span that they have at least.
    """

    name: str
    values: Mapping[tuple[str, Any], Sequence[tuple[int, float]]]
    shades: tuple[float, ...] = ()


def draw_cells(
    panel: "Axes", cells: Cells, rows: Sequence[str], columns: Sequence[Any], labels: Sequence[str], digits: int
) -> None:
    """Draw cells, in a colour map that is even in grey.

    labels: of the columns.
    """
    import matplotlib

    shades = matplotlib.colormaps["cividis"]
    spreads = {place: mean_and_ends(own) for place, own in cells.values.items()}
    means = [mean for mean, _, _ in spreads.values()]
    low, high = min([*means, *cells.shades]), max([*means, *cells.shades])
    for (row, column), (mean, _, end) in spreads.items():
        x, y = columns.index(column), rows.index(row)
        colour = shades((mean - low) / (high - low) if high > low else 0.5)
        n = len(dict(cells.values[row, column]))
        has_spread = n > 1
        low_end, high_end = (2 * mean - end, end) if has_spread else (None, None)
        keep(panel, row, [{"x": column, "mean": mean, "low": low_end, "high": high_end, "n": n}])
        red, green, blue, _ = colour
        words = "white" if 0.3 * red + 0.6 * green + 0.1 * blue < DARK else "black"
        panel.fill_between([x - 0.48, x + 0.48], y - 0.46, y + 0.46, color=colour, linewidth=0)
        panel.text(x, y + (0.16 if has_spread else 0), f"{mean:.{digits}f}", ha="center", va="center", color=words)
        if has_spread:
            panel.text(x, y - 0.22, f"± {end - mean:.{digits}f}", ha="center", va="center", fontsize=6, color=words)
    panel.set_xlim(-0.5, len(columns) - 0.5)
    panel.set_ylim(-0.5, len(rows) - 0.5)
    panel.set_xticks(range(len(columns)), labels)
    panel.set_yticks(range(len(rows)), rows)
    panel.tick_params(length=0)
    for spine in panel.spines.values():
        spine.set_visible(False)

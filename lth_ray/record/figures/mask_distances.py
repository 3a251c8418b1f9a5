"""Distances between the masks of all epochs of a dense training (after You et al. 2020, figure 3)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lth_ray.printing import enumerated
from lth_ray.record.figures.drawing.drawn import keep
from lth_ray.record.figures.drawing.page import Page, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 9


@dataclass(frozen=True)
class Distances:
    """The distances between the masks of a training, of all seeds.

    name: of the arm.
    epochs: of the looks.
    rows: for each seed the distances of each mask from all earlier ones.
    drawn: for each seed the epoch of its draw.
    """

    name: str
    epochs: tuple[float, ...]
    rows: tuple[Sequence[Sequence[float]], ...]
    drawn: tuple[float, ...]

    @property
    def means(self) -> list[list[float]]:
        """The matrix of mean distances over seeds; NaN where a seed's training has ended before."""
        size = len(self.epochs)
        found = [[0.0 if a == b else math.nan for a in range(size)] for b in range(size)]
        for a in range(size):
            for b in range(a):
                values = [rows[a][b] for rows in self.rows if a < len(rows)]
                if len(values) == len(self.rows):
                    found[a][b] = found[b][a] = sum(values) / len(values)
        return found


@styled
def mask_distances_figure(found: Sequence[Distances], title: str = "", caption: str = "") -> "Figure | None":
    """Draw a panel for each arm: the share of channels or weights in which the masks of two epochs differ.

    Lines mark the epochs at which masks were drawn, seed by seed. Returns None where nothing was looked at.
    """
    shown = [one for one in found if len(one.epochs) > 1][:MOST_PANELS]
    if not shown:
        return None
    count = len({len(one.rows) for one in shown})
    n = str(len(shown[0].rows)) if count == 1 else enumerated(map(str, sorted({len(one.rows) for one in shown})))
    words = (
        f"Distance of two epochs' masks: the share of channels or weights in which they differ, mean over n = {n} "
        f"seed{'s' if n != '1' else ''}; lines: where masks were drawn."
    )
    columns = min(3, len(shown))
    page = Page.of(
        [], "\n".join(filter(None, [words, caption])), -(-len(shown) // columns), columns, panel=2.2, are_titled=True
    )
    figure, panels = page.begin()
    highest = max(value for one in shown for row in one.means for value in row if value == value)
    images = [_draw(panel, one, highest) for panel, one in zip(panels, shown, strict=False)]
    for panel in panels[len(shown) :]:
        panel.set_axis_off()
    inset = panels[len(shown) - 1].inset_axes((1.03, 0.0, 0.04, 1.0))
    figure.colorbar(images[-1], cax=inset)
    return page.finish(figure, title, ([], []))


def _draw(panel: "Axes", one: Distances, highest: float) -> Any:
    first, last = one.epochs[0], one.epochs[-1]
    for epoch, row in zip(one.epochs, one.means, strict=True):
        points = [{"x": x, "mean": mean, "n": len(one.rows)} for x, mean in zip(one.epochs, row, strict=True)]
        keep(panel, f"epoch {epoch:g}", points)
    half = (last - first) / (len(one.epochs) - 1) / 2
    span = (first - half, last + half)
    image = panel.imshow(
        one.means, origin="lower", extent=(*span, *span), vmin=0.0, vmax=max(highest, 1e-9), cmap="cividis",
        interpolation="nearest", aspect="auto",
    )  # fmt: skip
    for epoch in sorted(set(one.drawn)):
        panel.axvline(epoch, color="white", linewidth=0.8, linestyle="--")
        panel.axhline(epoch, color="white", linewidth=0.8, linestyle="--")
    panel.set_title(one.name or "dense training")
    panel.set_xlabel("epoch")
    panel.set_ylabel("epoch")
    return image

"""The page that a figure is: its layout, its style, and its files."""

import functools
import io
import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from lth_ray.record.figures.drawing.drawn import as_csv
from lth_ray.record.figures.drawing.line_styles import GREY
from lth_ray.store import Store, study_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEAD = 4000  # bytes of an SVG in which its metadata lie
F = TypeVar("F", bound=Callable[..., Any])
STYLE = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    # Words are drawn as they are: a swept string with two dollar signs is no formula.
    "text.parse_math": False,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.8,
    "svg.hashsalt": "lth_ray",
    "svg.fonttype": "path",
}


@dataclass(frozen=True)
class Page:
    """The layout, in inches from the bottom: caption, legend, rows of panels with their axes, title."""

    rows: int
    columns: int
    width: float
    legend_columns: int
    legend: float
    caption: str
    panel: float
    gap: float
    head: float
    feet: tuple[float, ...]
    left: float = 0.6
    RIGHT, ASIDE = 0.18, 0.06
    TEXT_LINE, LEGEND_LINE, AXIS, TITLE, BETWEEN, CHARACTER = 0.145, 0.168, 0.5, 0.32, 0.2, 0.062

    @classmethod
    def of(
        cls,
        labels: Sequence[str],
        caption: str,
        rows: int = 1,
        columns: int = 1,
        *,
        panel: float = 2.7,
        gap: float = 0.62,
        are_titled: bool = False,
        feet: Sequence[float] = (),
    ) -> "Page":
        """Lay out a page.

        labels: of the legend.
        panel: height of one.
        gap: between two columns.
        are_titled: the panels have names.
        feet: what each row of panels needs under its axis, such as legends of their own.
        """
        width = 4.8 if columns == 1 else 8.6
        wrapped = "\n".join(part for line in caption.splitlines() for part in textwrap.wrap(line, int(16.4 * width)))
        longest = 0.55 + cls.CHARACTER * max(map(len, labels), default=0)
        legend_columns = max(1, min(4, int((width - 0.2) / longest)))
        legend = cls.LEGEND_LINE * math.ceil(len(labels) / legend_columns)
        head, feet = cls.TITLE + 0.2 * are_titled, tuple(feet) or (0.0,) * rows
        return cls(rows, columns, width, legend_columns, legend, wrapped, panel, gap, head, feet)

    @property
    def under(self) -> float:
        return 0.08 + self.TEXT_LINE * len(self.caption.splitlines())

    @property
    def height(self) -> float:
        panels = self.rows * (self.panel + self.AXIS + self.BETWEEN) - self.BETWEEN + sum(self.feet)
        return self.under + self.legend + panels + self.head

    def begin(self, **options: Any) -> tuple["Figure", list["Axes"]]:
        """Return the figure and its panels, row by row.

        options: of matplotlib's `subplots`.
        """
        from lth_ray.record.figures.drawing.canvas import Shown

        figure = Shown()
        panels = figure.subplots(self.rows, self.columns, squeeze=False, **options)
        self._place(figure)
        return figure, list(panels.flat)

    def _place(self, figure: "Figure") -> None:
        """Give the figure its size and its panels, row by row, their places."""
        figure.set_size_inches(self.width, self.height)
        wide = (self.width - self.left - self.RIGHT - self.gap * (self.columns - 1)) / self.columns
        size = wide / self.width, self.panel / self.height
        top = self.height - self.head
        for row, foot in enumerate(self.feet):
            bottom = (top - self.panel) / self.height
            for i, panel in enumerate(figure.axes[row * self.columns : (row + 1) * self.columns]):
                panel.set_position(((self.left + i * (wide + self.gap)) / self.width, bottom, *size))
            top -= self.panel + self.AXIS + foot + self.BETWEEN

    def finish(self, figure: "Figure", title: str, entries: tuple[Sequence[Any], Sequence[str]]) -> "Figure":
        """Put the words around the panels.

        The legend takes the room of what was drawn, and vertical axes that of their numbers and names.
        """
        page = replace(self, legend=self.LEGEND_LINE * math.ceil(len(entries[1]) / self.legend_columns))
        page._place(figure)
        reach = page._reach(figure)
        page = replace(page, left=max(self.left, reach[0]), gap=max(self.gap, *reach[1:], 0.0))
        page._place(figure)
        page._write(figure, title, entries)
        return figure

    def _reach(self, figure: "Figure") -> list[float]:
        """Return how far the axes of each column reach out of their panels to the left, and a little room, in
        inches.
        """
        renderer, found = figure.canvas.get_renderer(), [0.0] * self.columns  # type: ignore[attr-defined]
        for i, panel in enumerate(figure.axes[: self.rows * self.columns]):
            box = panel.yaxis.get_tightbbox(renderer) if panel.axison else None
            if box is not None:
                reach = (panel.get_window_extent(renderer).x0 - box.x0) / figure.dpi + self.ASIDE
                found[i % self.columns] = max(found[i % self.columns], reach)
        return found

    def _write(self, figure: "Figure", title: str, entries: tuple[Sequence[Any], Sequence[str]]) -> None:
        figure.text(0.1 / self.width, 1 - 0.08 / self.height, title, fontsize=10.5, fontweight="bold", va="top")
        figure.text(0.1 / self.width, 0.05 / self.height, self.caption, fontsize=7.5, color=GREY, va="bottom")
        place = (0.5, self.under / self.height)
        figure.legend(
            *entries,
            loc="lower center",
            bbox_to_anchor=place,
            ncols=self.legend_columns,
            frameon=False,
            borderaxespad=0,
            borderpad=0,
            handlelength=3,
        )


def styled(function: F) -> F:
    """Make a function draw in the report's style, whatever the process has set."""

    @functools.wraps(function)
    def drawn(*args: Any, **kwargs: Any) -> Any:
        import matplotlib

        with matplotlib.rc_context(STYLE):
            return function(*args, **kwargs)

    return drawn  # type: ignore[return-value]


@styled
def write_figure(store: Store, study: str, name: str, figure: "Figure", drawn_from: str = "") -> tuple[str, ...]:
    """Write studies/STUDY/NAME.svg, .png and the numbers as .csv; return their paths in the store.

    The same figure gives the same SVG.

    drawn_from: a digest of what the figure shows. The SVG carries it and is written last, so that one with the digest
    tells that all files are there.
    """
    store.put(study_path(study, f"{name}.csv"), as_csv(figure).encode())
    kinds: dict[str, dict[str, Any]] = {
        "png": {"dpi": 200},
        "svg": {"metadata": {"Date": None, "Identifier": drawn_from or None}},
    }
    for kind, options in kinds.items():
        file = io.BytesIO()
        figure.savefig(file, format=kind, **options)
        store.put(study_path(study, f"{name}.{kind}"), file.getvalue())
    return paths_of(study, name)


def paths_of(study: str, name: str) -> tuple[str, ...]:
    """Return where a figure's SVG and PNG lie in the store, and its numbers."""
    return tuple(study_path(study, f"{name}.{kind}") for kind in ("svg", "png", "csv"))


def is_drawn(store: Store, study: str, name: str, drawn_from: str) -> bool:
    """Return whether the figure is there, drawn from what has this digest."""
    path = paths_of(study, name)[0]
    return store.exists(path) and f">{drawn_from}<".encode() in store.get(path)[:HEAD]

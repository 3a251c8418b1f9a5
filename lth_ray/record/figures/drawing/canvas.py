"""A figure that a notebook shows: matplotlib itself shows only those that pyplot has made."""

import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

DPI = 110  # of a notebook's page


class Shown(Figure):
    """A figure with its picture for notebooks."""

    def __init__(self) -> None:
        super().__init__()
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=DPI)
        return file.getvalue()

"""Line styles, by which lines are told apart: colours, markers and dashes."""

from dataclasses import dataclass
from typing import Any

# Okabe & Ito's colours for every kind of sight, the yellow left out; neighbours differ in grey too.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY, LIGHT = "#444444", "#dddddd"
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.5, 1, 1.5)))
ASIDE, FURTHEST = 1.3, 5.0  # points by which error bars at one place stand beside each other, and at most
ENDS = 0.05, 0.85  # of the colour map, between which an ordered quantity runs


@dataclass(frozen=True)
class Look:
    """The look of a line."""

    colour: str
    marker: str = "o"
    dashes: Any = "-"
    is_hollow: bool = False


def looks(count: int) -> list[Look]:
    """Return one for each of a few lines of different kinds."""
    return [Look(COLOURS[i % len(COLOURS)], MARKERS[(i + i // len(COLOURS)) % len(MARKERS)]) for i in range(count)]


def ramp(count: int, *, is_dashed: bool = False) -> list[Look]:
    """Return one for each value of an ordered quantity, dark to light.

    is_dashed: line styles differ as well, for lines that have no markers to be told by in grey.
    """
    import matplotlib
    from matplotlib.colors import to_hex

    shades = matplotlib.colormaps["viridis"]
    places = [ENDS[0] + (ENDS[1] - ENDS[0]) * i / max(1, count - 1) for i in range(count)]
    return [
        Look(to_hex(shades(place)), "" if is_dashed else MARKERS[i % len(MARKERS)], DASHES[i % 4 if is_dashed else 0])
        for i, place in enumerate(places)
    ]


def beside(count: int) -> list[float]:
    """Return where lines whose points stand at the same places are drawn: points to the right of them."""
    step = min(ASIDE, 2 * FURTHEST / max(1, count - 1))
    return [step * (i - (count - 1) / 2) for i in range(count)]

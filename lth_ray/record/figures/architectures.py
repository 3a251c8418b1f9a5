"""Pruning as a search for architectures: the metric against parameters (Liu et al. 2019, section 5)."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lth_ray.config import is_there
from lth_ray.record.figures.drawing.line_styles import looks
from lth_ray.record.figures.drawing.lines import counted, draw, line_of, mean_and_ends
from lth_ray.record.figures.drawing.measured import by_variant, joined
from lth_ray.record.figures.drawing.page import Page, styled
from lth_ray.record.figures.drawing.panels import by_label, grid, name_panel, weights_axis
from lth_ray.record.figures.drawing.series import DENSE, dense_level
from lth_ray.record.report.summary import chain, in_words
from lth_ray.record.report.tables import Row, metric_of_frame, rows_of

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

LEFT = "remaining_of_all"
SCRATCH, GUIDED = "scratch", "guided"
TOLD = ("budget", "initialisation", "pattern", "uniform")  # parameters of branches that tell lines apart
OWN = ("", "")  # the study's own network and data
CAPTION = (
    "Parameters: those of convolutions and linear layers that a mask keeps, as a share of all of its own network's; "
    "the mean over seeds where their masks keep other numbers."
)


@styled
def architectures_figure(results: "pandas.DataFrame", title: str = "", caption: str = "") -> "Figure | None":
    """Draw the metric on the test set against the parameters that are left.

    A line for the tickets themselves, for their architectures trained from scratch (Scratch), and for networks that
    follow their pattern or keep one share throughout (Guided); a panel for each network and data that these are of.

    results: Results.tickets() and .branches() together.

    Mean over seeds with error bars of its 95 % t-interval. None where no architecture was trained from scratch.
    """
    metric = metric_of_frame(results)
    test = metric.column("test")
    rows = [row for row in rows_of(results) if is_there(row.get(LEFT)) and is_there(row.get(test))]
    kinds = {id(row): chain(row) for row in rows}
    if not {SCRATCH, GUIDED} & set(kinds.values()):
        return None
    dense = [row for row in rows if kinds[id(row)] == "dense"]
    shown = [row for row in rows if kinds[id(row)] in ("ticket", SCRATCH, GUIDED)]
    panels = _by_network(shown)
    ways = {place: _ways(own, kinds) for place, own in panels.items()}
    names = list(dict.fromkeys(name for each in ways.values() for name in each))
    words = "\n".join(filter(None, [CAPTION, caption]))
    labels = [DENSE, *(f"{name} (n = 00)" for name in names)]
    page = Page.of(labels, words, 1, len(panels), panel=2.6, gap=0.3, are_titled=len(panels) > 1)
    figure, axes = page.begin(sharey=len({place[1] for place in panels}) < 2)
    chosen = dict(zip(names, looks(len(names)), strict=True))
    for panel, (place, each) in zip(axes, ways.items(), strict=True):
        if place == OWN and dense:
            reached = mean_and_ends([(row["seed"], metric.scale * row[test]) for row in dense])
            dense_level(panel, reached, len({row["seed"] for row in dense}))
        for name, own in each.items():
            rounds = _by_round(own)
            n = counted([(len(same), len({row["seed"] for row in same})) for same in rounds.values()])
            points = {x: [(row["seed"], metric.scale * row[test]) for row in same] for x, same in rounds.items()}
            draw(panel, line_of(f"{name} ({n})", points), chosen[name])
        weights_axis(panel, [x for own in each.values() for x in _by_round(own)], most=6)
        panel.set_xlabel("parameters (%)")
        grid(panel)
        if len(panels) > 1:
            name_panel(panel, joined(*place) or "the study's own")
    axes[0].set_ylabel(f"test {metric.title}")
    return page.finish(figure, title, by_label(axes))


def _by_network(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """Return rows by (network, changes of the data), in words, where a branch says so; the study's own first."""
    found: dict[tuple[str, str], list[Row]] = {OWN: []}
    for row in rows:
        model, changes = (_read(row.get(name)) for name in ("model", "changes"))
        network = str(model.get("name", "")) if isinstance(model, Mapping) else ""
        told = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in changes.items()) if changes else ""
        found.setdefault((network, told), []).append(row)
    return {place: own for place, own in found.items() if own}


def _read(value: Any) -> Any:
    """Return a parameter of a branch as it was: tables that were stored have it as JSON."""
    if isinstance(value, str) and value.startswith("{"):
        return json.loads(value)
    return value if isinstance(value, Mapping) else {}


def _ways(rows: Sequence[Row], kinds: Mapping[int, str]) -> dict[str, list[Row]]:
    """Return rows by what was trained, and by the variant of the study."""
    found: dict[str, list[Row]] = {}
    for kind in ("ticket", SCRATCH, GUIDED):
        own = [row for row in rows if kinds[id(row)] == kind]
        told = [name for name in TOLD if kind != "ticket"]
        found |= {joined(in_words(kind), variant): some for variant, some in by_variant(own, told).items() if some}
    return found


def _by_round(rows: Sequence[Row]) -> dict[float, list[Row]]:
    """Return rows by the per cent of parameters that a round leaves, the mean over seeds; from many to few."""
    rounds: dict[int, list[Row]] = {}
    for row in rows:
        rounds.setdefault(row["round"], []).append(row)
    means: dict[float, list[Row]] = {}
    for same in rounds.values():  # two may leave the same: of units, few of which are left
        means.setdefault(100 * math.fsum(row[LEFT] for row in same) / len(same), []).extend(same)
    return dict(sorted(means.items(), reverse=True))

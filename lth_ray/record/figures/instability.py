"""Instability: the error barrier against the step at which copies part (Frankle et al. 2020a, section 3)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lth_ray.config import Metric, is_there
from lth_ray.record.figures.drawing.line_styles import GREY, Look, looks, ramp
from lth_ray.record.figures.drawing.lines import Line, counted, draw, gather
from lth_ray.record.figures.drawing.measured import (
    by_round,
    by_subnetwork,
    by_variant,
    joined,
    results_of,
    spawned_later,
)
from lth_ray.record.figures.drawing.page import Page, styled
from lth_ray.record.figures.drawing.panels import by_label, from_zero, grid, level, name_panel, steps_axis, weights_axis
from lth_ray.record.report.summary import subnetwork
from lth_ray.record.report.tables import Row, metric_of_frame, rows_of

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Key = tuple[str, str, str]  # kind, variant, density
PARAMETERS = ("batch_norm", "initialisations", "align")
STABLE = 2.0  # per cent
MOST_LINES = 6
TRAIN = (0, (4, 1.6))
WORDS = ("stable: under 2 %", "test set", "training set")


@styled
def instability_figure(
    branches: "pandas.DataFrame", title: str = "", caption: str = "", *, has_statistics: bool = True
) -> "Figure | None":
    """Draw the error barrier, in the metric's unit, against the step at which the copies parted.

    There is a line for each kind of subnetwork and density: the mean over seeds, a seed's pairs averaged
    first, with error bars of its 95 % t-interval; solid on the test set, dashed on the training set. Copies
    under the dotted line, 2 % of the images, are called stable. Where there are few lines, right: the
    distance between the copies' ends, as a share of what they travelled. Where there are many, a panel for
    each arm, or for each kind where an arm has many densities. Where all copies part at one step, remaining
    weights take its place. Returns None where no barrier was measured.

    branches: as of Results.branches().
    has_statistics: whether the networks have batch norms, of whose running statistics the caption then tells.
    """
    metric = metric_of_frame(branches)
    rows = results_of(rows_of(branches), "barrier", "lmc_error_barrier")
    if not rows:
        return None
    is_over_steps = len({row["spawn_step"] for row in rows}) > 1 or len({row["round"] for row in rows}) == 1
    groups = barriers_by(rows, by_density=is_over_steps)
    caption = f"{caption}{_rule(rows)}" if has_statistics else caption
    if len(groups) > MOST_LINES and len({key[:2] for key in groups}) > 1:
        return _multiples(groups, metric, is_over_steps, title, caption)
    chosen = dict(zip(groups, looks(len(groups)), strict=True))
    names = {key: f"{joined(*key)} ({_n(groups[key])})" for key in groups}
    words = WORDS if metric.is_share else WORDS[1:]
    has_share = any(is_there(row.get("share_travelled")) for row in rows)
    page = Page.of([*names.values(), *words], caption, 1, 2 if has_share else 1)
    figure, panels = page.begin()
    _barriers(panels[0], groups, names, chosen, is_over_steps, metric)
    _explain(panels[0])
    panels[0].set_ylabel(metric.barrier)
    if has_share:
        for key in groups:
            line = _line("_", groups[key], "share_travelled", is_over_steps, 100.0)
            draw(panels[1], line, chosen[key], called=names[key])
        panels[1].set_ylabel("distance apart, % of that travelled")
        from_zero(panels[1])
        _axis(panels[1], groups, is_over_steps)
    return page.finish(figure, title, by_label(panels[:1]))


def _multiples(
    groups: Mapping[Key, Sequence[Row]], metric: Metric, is_over_steps: bool, title: str, caption: str
) -> "Figure":
    """Draw a panel for each variant, with a look for each kind and density.

    Else one for each kind in it, with a shade for each density.
    """
    variants = list(dict.fromkeys(key[1] for key in groups))
    by_arm = len(variants) > 1 and len({key[::2] for key in groups}) <= MOST_LINES
    panel_of = {key: joined(key[1]) if by_arm else joined(*key[:2]) for key in groups}
    densities = {key: key[2] or (key[0] if is_over_steps else "_") for key in groups}
    names = {key: joined(*key[::2]) for key in groups} if by_arm else densities
    told = list(dict.fromkeys(name for name in names.values() if name != "_"))
    chosen = dict(zip(told, looks(len(told)), strict=True)) if by_arm else _shades(groups, names)
    parts = list(dict.fromkeys(panel_of.values()))
    columns, words = min(3, len(parts)), WORDS if metric.is_share else WORDS[1:]
    page = Page.of([*told, *words], caption, -(-len(parts) // columns), columns, panel=2.3, gap=0.3, are_titled=True)
    figure, panels = page.begin(sharey=True)
    for panel, part in zip(panels, parts, strict=False):
        own = {key: groups[key] for key in groups if panel_of[key] == part}
        _barriers(panel, own, names, {key: chosen[names[key]] for key in own}, is_over_steps, metric)
        name_panel(panel, f"{part} ({_n([row for rows in own.values() for row in rows])})")
    for panel in panels[len(parts) :]:
        panel.set_axis_off()
    for panel in panels[::columns]:
        panel.set_ylabel(metric.barrier)
    _explain(panels[0])
    return page.finish(figure, title, by_label(panels[len(parts) - 1 :: -1]))


def _shades(groups: Mapping[Key, Sequence[Row]], names: Mapping[Key, str]) -> dict[str, Look]:
    """Return {name: look}: densities from dark to light, what has none of them in grey."""
    weights = {names[key]: rows[0]["remaining_weights"] for key, rows in groups.items() if key[2]}
    densities = sorted(weights, key=weights.__getitem__, reverse=True)
    return {name: Look(GREY) for name in names.values()} | dict(zip(densities, ramp(len(densities)), strict=True))


def barriers_by(rows: Sequence[Row], by_density: bool = True) -> dict[Key, list[Row]]:
    """Return barriers by kind of subnetwork, variant and density; the dense network has no density to tell."""
    found: dict[Key, list[Row]] = {}
    for variant, of_variant in by_variant(rows, PARAMETERS, over_points=not spawned_later(rows)).items():
        for kind, of_kind in by_subnetwork(of_variant).items():
            for density, of_round in by_round(of_kind).items() if by_density else [("", of_kind)]:
                found[kind, variant, "" if kind == "dense" else density] = of_round
    order = {kind: i for i, kind in enumerate(by_subnetwork(rows))}
    return dict(sorted(found.items(), key=lambda item: order[item[0][0]]))


def _rule(rows: Sequence[Row]) -> str:
    """Return how batch norm's running statistics were had on the line, where all rows have the same; else
    lines say so.
    """
    rules = {str(row.get("batch_norm")) for row in rows}
    said = {"stored": "interpolated as weights are", "reestimate": "re-estimated at every point"}
    return (
        f". Batch norm's statistics on the line: {said[rules.pop()]}"
        if len(rules) == 1 and rules <= said.keys()
        else ""
    )


def _n(rows: Sequence[Row]) -> str:
    """Return runs and seeds behind the points of rows that share a spawn step and a round."""
    points: dict[Any, dict[Any, int]] = {}
    for row in rows:
        points.setdefault((subnetwork(row), row["arm"], row["spawn_step"], row["round"]), {})[row["key"]] = row["seed"]
    return counted([(len(keys), len(set(keys.values()))) for keys in points.values()])


def _line(name: str, rows: Sequence[Row], column: str, is_over_steps: bool, scale: float) -> Line:
    x, x_scale = ("spawn_step", 1.0) if is_over_steps else ("remaining_weights", 100.0)
    return replace(gather(name, rows, x, column, x_scale=x_scale, scale=scale), label=name)


def _barriers(
    panel: "Axes",
    groups: Mapping[Key, Sequence[Row]],
    names: Mapping[Key, str],
    chosen: Mapping[Key, Look],
    is_over_steps: bool,
    metric: Metric,
) -> None:
    for key, rows in groups.items():
        draw(panel, _line(names[key], rows, "lmc_error_barrier", is_over_steps, metric.scale), chosen[key])
        train = _line("_", rows, "lmc_train_error_barrier", is_over_steps, metric.scale)
        look = Look(chosen[key].colour, "_" if len(train.x) == 1 else "", TRAIN)  # a single point has no line
        draw(panel, train, look, has_spread=False, width=0.9, called=f"{names[key]}, {WORDS[2]}")
    if metric.is_share:
        level(panel, STABLE, WORDS[0])
    _axis(panel, groups, is_over_steps)


def _explain(panel: "Axes") -> None:
    """Put into the legend what solid and dashed lines are."""
    panel.plot([], [], color=GREY, linewidth=1.4, label=WORDS[1])
    panel.plot([], [], color=GREY, linewidth=0.9, linestyle=TRAIN, label=WORDS[2])


def _axis(panel: "Axes", groups: Mapping[Key, Sequence[Row]], is_over_steps: bool) -> None:
    rows = [row for found in groups.values() for row in found]
    if is_over_steps:
        steps_axis(panel, [row["spawn_step"] for row in rows])
        panel.set_xlabel("step at which the copies part")
    else:
        weights_axis(panel, [100 * row["remaining_weights"] for row in rows])
    grid(panel)

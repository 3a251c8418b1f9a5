"""Linear mode connectivity: instability against the step at which copies part, and the error along the line
(Frankle et al. 2020a, figures of sections 3 and 4)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lth_ray.record.measured import by_round, by_subnetwork, by_variant, joined, results_of
from lth_ray.record.page import Page, styled
from lth_ray.record.panels import (
    GREY,
    Line,
    Look,
    by_label,
    compact,
    counted,
    draw,
    evenly,
    gather,
    grid,
    level,
    looks,
    name_panel,
    ramp,
    steps_axis,
    weights_axis,
)
from lth_ray.record.subnetworks import subnetwork
from lth_ray.record.summary import is_there

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = Mapping[str, Any]
Curves = Callable[[str], Mapping[str, list[Any]] | None]
PARAMETERS = ("batch_norm", "initialisations", "align")
STABLE = 2.0  # per cent
MOST_LINES, MOST_PATHS, MOST_SPAWNS = 6, 6, 5
TRAIN = (0, (4, 1.6))
SETS = ("test set", "training set")
Key = tuple[str, str, str]  # kind, variant, density


@styled
def instability_figure(branches: Sequence[Row], title: str = "", caption: str = "") -> "Figure | None":
    """Error barrier against the step at which the copies parted: a line for each kind of subnetwork and density.

    Mean over seeds and pairs in a band from minimum to maximum; solid on the test set, dashed on the training set.
    Copies under the dotted line, 2 %, are called stable. Right, where there are few lines: the distance between the
    copies' ends, as a share of what they travelled; else a panel for each kind. Where all copies part at one step,
    remaining weights take its place. None where no barrier was measured.
    """
    rows = results_of(branches, "barrier", "lmc_error_barrier")
    if not rows:
        return None
    is_over_steps = len({row["spawn_step"] for row in rows}) > 1 or len({row["round"] for row in rows}) == 1
    groups = _groups(rows, by_density=is_over_steps)
    if len(groups) > MOST_LINES and len({key[:2] for key in groups}) > 1:
        return _by_kind(groups, is_over_steps, title, caption)
    chosen = dict(zip(groups, looks(len(groups)), strict=True))
    lines = {key: _named(key, groups[key]) for key in groups}
    has_share = any(is_there(row.get("share_travelled")) for row in rows)
    page = Page.of([*lines.values(), *SETS], caption, 1, 2 if has_share else 1)
    figure, panels = page.begin()
    _barriers(panels[0], groups, lines, chosen, is_over_steps)
    _explain(panels[0])
    panels[0].set_ylabel("error barrier (%)")
    if has_share:
        for key in groups:
            draw(panels[1], _line("_", groups[key], "share_travelled", is_over_steps), chosen[key])
        panels[1].set_ylabel("distance apart, % of that travelled")
        panels[1].set_ylim(bottom=0)
        _axis(panels[1], groups, is_over_steps)
    return page.finish(figure, title, by_label(panels[:1]))


def _by_kind(groups: Mapping[Key, Sequence[Row]], is_over_steps: bool, title: str, caption: str) -> "Figure":
    """A panel for each kind of subnetwork and variant; the shades of densities are the same in all."""
    weights = {key[2]: rows[0]["remaining_weights"] for key, rows in groups.items() if key[2]}
    densities = sorted(weights, key=weights.__getitem__, reverse=True)
    shades = dict(zip(densities, ramp(len(densities)), strict=True))
    chosen = {key: shades.get(key[2], Look(GREY)) for key in groups}
    lines = {key: key[2] or (key[0] if is_over_steps else "_") for key in groups}
    kinds = list(dict.fromkeys(key[:2] for key in groups))
    columns = min(3, len(kinds))
    named = [name for name in dict.fromkeys(lines.values()) if name != "_"]
    page = Page.of([*named, *SETS], caption, -(-len(kinds) // columns), columns, panel=2.3, gap=0.3, are_titled=True)
    figure, panels = page.begin(sharey=True)
    for panel, kind in zip(panels, kinds, strict=False):
        own = {key: groups[key] for key in groups if key[:2] == kind}
        _barriers(panel, own, lines, chosen, is_over_steps)
        name_panel(panel, f"{joined(*kind)} ({_n([row for rows in own.values() for row in rows])})")
    for panel in panels[len(kinds) :]:
        panel.set_axis_off()
    for panel in panels[::columns]:
        panel.set_ylabel("error barrier (%)")
    _explain(panels[0])
    return page.finish(figure, title, by_label(panels[len(kinds) - 1 :: -1]))


def _groups(rows: Sequence[Row], by_density: bool = True) -> dict[Key, list[Row]]:
    found: dict[Key, list[Row]] = {}
    for variant, of_variant in by_variant(rows, PARAMETERS, over_points=True).items():
        for kind, of_kind in by_subnetwork(of_variant).items():
            for density, of_round in by_round(of_kind).items() if by_density else [("", of_kind)]:
                found[kind, variant, "" if kind == "dense" else density] = of_round
    order = {kind: i for i, kind in enumerate(by_subnetwork(rows))}
    return dict(sorted(found.items(), key=lambda item: order[item[0][0]]))


def _named(key: Key, rows: Sequence[Row]) -> str:
    return f"{joined(*key)} ({_n(rows)})"


def _n(rows: Sequence[Row]) -> str:
    """Runs and seeds behind the points of rows that share a spawn step and a round."""
    points: dict[Any, dict[Any, int]] = {}
    for row in rows:
        points.setdefault((subnetwork(row), row["arm"], row["spawn_step"], row["round"]), {})[row["key"]] = row["seed"]
    return counted([(len(keys), len(set(keys.values()))) for keys in points.values()])


def _line(name: str, rows: Sequence[Row], column: str, is_over_steps: bool) -> Line:
    x, x_scale = ("spawn_step", 1.0) if is_over_steps else ("remaining_weights", 100.0)
    return replace(gather(name, rows, x, column, x_scale=x_scale, scale=100.0), label=name)


def _barriers(
    panel: "Axes", groups: Mapping[Key, Sequence[Row]], names: Mapping[Key, str], chosen: Mapping[Key, Look],
    is_over_steps: bool,
) -> None:  # fmt: skip
    level(panel, STABLE, "stable: under 2 %", at="left")
    for key, rows in groups.items():
        draw(panel, _line(names[key], rows, "lmc_error_barrier", is_over_steps), chosen[key])
        train = _line("_", rows, "lmc_train_error_barrier", is_over_steps)
        draw(panel, train, Look(chosen[key].colour, "", TRAIN), has_band=False, width=0.9)
    _axis(panel, groups, is_over_steps)


def _explain(panel: "Axes") -> None:
    """Puts into the legend what solid and dashed lines are."""
    panel.plot([], [], color=GREY, linewidth=1.4, label=SETS[0])
    panel.plot([], [], color=GREY, linewidth=0.9, linestyle=TRAIN, label=SETS[1])


def _axis(panel: "Axes", groups: Mapping[Key, Sequence[Row]], is_over_steps: bool) -> None:
    rows = [row for found in groups.values() for row in found]
    if is_over_steps:
        steps_axis(panel, [row["spawn_step"] for row in rows])
        panel.set_xlabel("step at which the copies part")
    else:
        weights_axis(panel, [100 * row["remaining_weights"] for row in rows])
    grid(panel)


@styled
def paths_figure(branches: Sequence[Row], curves: Curves, title: str = "", caption: str = "") -> "Figure | None":
    """Test error along the line between copies: a panel for each kind and density, a line for each spawn step.

    curves: (key of a result) -> its table's columns alpha and test_error, or None. None where there is no curve.
    """
    rows = [
        {**row, "path": path} for row in results_of(branches, "barrier", "lmc_error_barrier")
        if (path := curves(row["key"])) and path.get("test_error")
    ]  # fmt: skip
    if not rows:
        return None
    groups = _groups(rows)
    shown = evenly(list(groups), MOST_PATHS)
    spawns = evenly(sorted({row["spawn_step"] for rows in groups.values() for row in rows}), MOST_SPAWNS)
    columns = min(3, len(shown))
    names = [f"copies part at step {compact(step)}" for step in spawns]
    page = Page.of(names, caption, -(-len(shown) // columns), columns, panel=2.0, gap=0.3, are_titled=True)
    figure, panels = page.begin(sharey=True)
    for panel, key in zip(panels, shown, strict=False):
        ns = []
        for step, name, look in zip(spawns, names, ramp(len(spawns)), strict=True):
            line, n = _path(name, [row for row in groups[key] if row["spawn_step"] == step])
            ns += [n] if line.x else []
            draw(panel, line, Look(look.colour, ""))
        name_panel(panel, f"{joined(*key)} ({counted(ns)})")
        panel.set_xlabel("place on the line, $\\alpha$")
        panel.set_xlim(0, 1)
        panel.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", ".25", ".5", ".75", "1"])
        grid(panel)
    for panel in panels[len(shown) :]:
        panel.set_axis_off()
    for panel in panels[::columns]:
        panel.set_ylabel("test error (%)")
    return page.finish(figure, title, by_label(panels[: len(shown)]))


def _path(name: str, rows: Sequence[Row]) -> tuple[Line, tuple[int, int]]:
    """Mean, least and greatest error at each place, of the paths that have as many points as the first."""
    paths = {row["key"]: row["path"] for row in rows}
    alpha = next(iter(paths.values()))["alpha"] if paths else []
    kept = {key: path for key, path in paths.items() if len(path["alpha"]) == len(alpha)}
    errors = [[100 * value for value in at] for at in zip(*(path["test_error"] for path in kept.values()), strict=True)]
    mean, low, high = (tuple(f(at) for at in errors) for f in (lambda at: sum(at) / len(at), min, max))
    seeds = {row["seed"] for row in rows if row["key"] in kept}
    return Line(name if errors else "_", tuple(alpha), mean, low, high), (len(kept), len(seeds))

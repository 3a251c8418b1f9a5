"""The quantities that papers report, measured in our rows, seed by seed."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

from lth_ray.analysis.statistics import within_seeds
from lth_ray.config import Metric, is_there
from lth_ray.record.paper.targets import Target
from lth_ray.record.report.summary import measures, subnetwork
from lth_ray.record.report.tables import Row, plain

BySeed = dict[int, float]
Measure = Callable[["Results", Target, Sequence[Row]], BySeed]
NEAR = 1.12  # our density counts as the paper's within this factor, half a pruning step of 20 %
ROUNDED = 1.02  # the ends of a range are printed with two or three digits
STABLE = 0.02  # the error barrier of copies that are called stable is under this (Frankle et al. 2020a)


@dataclass(frozen=True)
class Results:
    """The rows of one series, or of several where the quantity is found over rewind points."""

    name: str
    rows: tuple[Row, ...]

    def of(self, target: Target, kind: str = "") -> list[Row]:
        """Return rows of a kind of subnetwork (the target's by default) at the target's density."""
        kind = kind or target.series
        rows = [row for row in self.rows if subnetwork(row) == kind]
        if kind == target.series:
            rows = [row for row in rows if _has(row, target.parameters)]
        return rows if kind == "dense" else [row for row in rows if _is_near(row, target.remaining_weights)]


def share_left(row: Row) -> float:
    """Return remaining weights as papers count them: of all weights, prunable or not."""
    of_all = row.get("remaining_of_all")
    return float(row["remaining_weights"] if of_all is None or of_all != of_all else of_all)


def _measured(name: str, scale: float = 1.0) -> Measure:
    """Return a column's mean at the target's densities, seed by seed, in the target's unit."""

    def measure(results: Results, target: Target, rows: Sequence[Row]) -> BySeed:
        own = _by_seed(results.of(target), name)
        if not target.relative_to:
            return {seed: scale * value for seed, value in own.items()}
        other = _reference(results, target, rows, name)
        return {
            seed: _relative(own[seed], other[seed], target.unit, scale) for seed in sorted(own.keys() & other.keys())
        }

    return measure


def _reference(results: Results, target: Target, rows: Sequence[Row], name: str) -> BySeed:
    kind, _, arm = target.relative_to.partition("@")
    if arm:
        results = Results(arm, tuple(row for row in rows if row["arm"] == arm))
    return _by_seed(results.of(target, kind), name)


def _relative(own: float, other: float, unit: str, scale: float) -> float:
    if unit == "pp":
        return scale * (own - other)
    if unit == "x faster":
        return other / own if own else math.inf
    return 100 * (own / other - 1) if other else math.inf


def _best(results: Results, target: Target, rows: Sequence[Row], metric: Metric) -> BySeed:
    """Return the best round of each seed."""
    test, scale = metric.column("test"), metric.scale
    found: dict[int, float] = {}
    for row in results.of(target):
        if is_there(row.get(test)) and metric.beats(row[test], found.get(row["seed"], -metric.gain(math.inf, 0.0))):
            found[row["seed"]] = row[test]
    if not target.relative_to:
        return {seed: scale * value for seed, value in found.items()}
    dense = _reference(results, target, rows, metric.column("test"))
    return {
        seed: _relative(found[seed], dense[seed], target.unit, scale) for seed in sorted(found.keys() & dense.keys())
    }


def _falls_below(results: Results, target: Target, rows: Sequence[Row], metric: Metric) -> BySeed:
    """Return the density, in per cent, from which on each seed's network stays worse than its dense one."""
    dense = _reference(results, target, rows, metric.column("test"))
    found = {}
    for seed in sorted(dense):
        own = [row | {"left": share_left(row)} for row in map(dict, results.of(target)) if row["seed"] == seed]
        curve = _curve(own, "left", metric.column("test"))
        below = _from_which_on(curve[::-1], partial(metric.beats, dense[seed]))  # from dense to sparse
        if below is not None:
            found[seed] = 100 * below
    return found


def _stable_from(results: Results, target: Target, rows: Sequence[Row]) -> BySeed:
    """Return the first spawn step, or epoch, from which on each seed's copies are stable."""
    found = {}
    barriers = [row for row in results.of(target) if measures(row, "barrier")]
    for seed in sorted({row["seed"] for row in barriers}):
        curve = _curve([row for row in barriers if row["seed"] == seed], "spawn_step", "lmc_error_barrier")
        step = _from_which_on(curve, lambda barrier: barrier < STABLE)
        if step is not None:
            found[seed] = step if target.unit == "steps" else step / barriers[0]["steps_per_epoch"]
    return found


def _rewinding_suffices(results: Results, target: Target, rows: Sequence[Row], metric: Metric) -> BySeed:
    """Return the first rewind step from which on each seed's tickets match its dense network.

    It counts wherever those of the latest rewind point do.
    """
    dense = _reference(results, target, rows, metric.column("test"))
    found = {}
    for seed in sorted(dense):
        own = [row for row in results.of(target) if row["seed"] == seed and is_there(row.get(metric.column("test")))]
        matched: dict[int, set[int]] = {row["rewind_step"]: set() for row in own}
        for row in own:
            if metric.gain(row[metric.column("test")], dense[seed]) >= -metric.margin:
                matched[row["rewind_step"]].add(row["round"])
        possible = matched[max(matched)] if matched else set()
        curve = [(float(step), float(possible <= rounds)) for step, rounds in sorted(matched.items())]
        first = _from_which_on(curve, bool) if possible else None
        if first is not None:
            found[seed] = first
    return found


def _share_travelled(results: Results, target: Target, rows: Sequence[Row]) -> BySeed:
    """Return how far apart stable copies end, in per cent of the distance they travelled."""
    stable = [row for row in results.of(target) if is_there(row.get("share_travelled"))]
    stable = [row for row in stable if is_there(row["lmc_error_barrier"]) and row["lmc_error_barrier"] < STABLE]
    return {seed: 100 * value for seed, value in _by_seed(stable, "share_travelled").items()}


def _order_distance(results: Results, target: Target, rows: Sequence[Row]) -> BySeed:
    of_copies = [row for row in results.of(target) if measures(row, "stability") and row.get("compared") == "order"]
    return _by_seed(of_copies, "l2_distance")


def _largest_compression(results: Results, target: Target, rows: Sequence[Row], metric: Metric) -> BySeed:
    """Return 1 / density of the sparsest round whose median network is as good as the dense one, for all
    seeds.
    """
    test = metric.column("test")
    dense = _by_seed(results.of(target, "dense"), test).values()
    rounds: dict[tuple[int, int], list[Row]] = {}
    for row in results.of(target):
        if is_there(row.get(test)):
            rounds.setdefault((row["rewind_step"], row["round"]), []).append(row)
    reached = [
        share_left(row)
        for same in rounds.values()
        for row in same[:1]
        if dense and not metric.beats(median(dense), median(row[test] for row in same))
    ]
    return {0: 1 / min(reached)} if reached else {}


def measured_as(metric: Metric) -> dict[str, Measure]:
    """Return {quantity: how it is had from our rows}."""
    test = metric.column("test")
    return {
        test: _measured(test, metric.scale),
        "early_stop_step": _measured("early_stop_step"),
        f"best_{test}": partial(_best, metric=metric),
        "falls_below_dense": partial(_falls_below, metric=metric),
        "largest_compression": partial(_largest_compression, metric=metric),
        "stable_from": _stable_from,
        "share_travelled": _share_travelled,
        "rewinding_suffices_from": partial(_rewinding_suffices, metric=metric),
        "order_distance": _order_distance,
        "drawn_at": _measured("drawn_at", 100),
    }


OVER_SEEDS = ("largest_compression",)  # one number from all seeds, without a spread
OVER_REWIND_STEPS = ("largest_compression", "stable_from", "share_travelled", "rewinding_suffices_from")


def _by_seed(rows: Sequence[Row], name: str) -> BySeed:
    return within_seeds((row["seed"], row[name]) for row in rows if is_there(row.get(name)))


def _curve(rows: Sequence[Row], x: str, y: str) -> list[tuple[float, float]]:
    """Return mean y at each x, by x."""
    found: dict[float, list[float]] = {}
    for row in rows:
        if is_there(row.get(x)) and is_there(row.get(y)):
            found.setdefault(row[x], []).append(row[y])
    return [(at, math.fsum(values) / len(values)) for at, values in sorted(found.items())]


def _from_which_on(curve: Sequence[tuple[float, float]], holds: Callable[[float], bool]) -> float | None:
    """Return the first x of the stretch up to the curve's end in which `holds(y)`; None where it does not
    hold there.
    """
    first = None
    for x, y in reversed(curve):
        if not holds(y):
            break
        first = x
    return first


def _has(row: Row, parameters: Mapping[str, str]) -> bool:
    return all(plain(row.get(name)) == value for name, value in parameters.items())


def _is_near(row: Row, ends: tuple[float, float] | None) -> bool:
    """Return whether a row's density is the target's, or lies in its range; a single density stands for all
    near it.
    """
    if ends is None:
        return True
    low, high = ends
    slack = NEAR if low == high else ROUNDED
    return bool(low / slack <= share_left(row) <= high * slack)

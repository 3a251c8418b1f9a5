"""A study's results beside the papers' reports: the difference, and whether theirs lies in our spread."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lth_ray.analysis.statistics import interval
from lth_ray.config import ACCURACY, Metric
from lth_ray.record.paper.quantities import OVER_REWIND_STEPS, OVER_SEEDS, ROUNDED, Results, measured_as
from lth_ray.record.paper.targets import Target
from lth_ray.record.report.summary import series_of
from lth_ray.record.report.tables import Row, framed

if TYPE_CHECKING:
    import pandas

COLUMNS = (
    "series", "quantity", "relative_to", "subnetwork", "n", "ours", "ours_min", "ours_max", "ours_half_width", "theirs",
    "theirs_low", "theirs_high", "theirs_spread", "relation", "difference", "in_spread", "unit", "remaining_weights",
    "source", "doubt",
)  # fmt: skip


def against_paper(
    tickets: Sequence[Row], branches: Sequence[Row], targets: Sequence[Target], metric: Metric = ACCURACY
) -> "pandas.DataFrame":
    """Return a row for each target and series of ours that measured the same, with n seeds.

    ours: mean over seeds, with _min, _max and _half_width (of the 95 % t-interval), in the target's unit. theirs: as
    reported; _low and _high: what its relation allows. difference: ours - theirs.
    in_spread: whether theirs meets our least-to-greatest range; None without a spread of ours and where there is a
    `doubt` (unchecked, not comparable).
    """
    rows, known = [*tickets, *branches], measured_as(metric)
    found = []
    for target in targets:
        measure = known.get(target.quantity)
        for results in _candidates(rows, target) if measure else ():
            values = measure(results, target, rows) if measure else {}
            if values:
                found.append(_line(results, target, list(values.values())))
    return framed(found, metric, COLUMNS)


def _line(results: Results, target: Target, values: Sequence[float]) -> dict[str, Any]:
    ours = interval(values)
    n = len({row["seed"] for row in results.rows}) if target.quantity in OVER_SEEDS else ours.n
    meets = None
    if not target.doubt and ours.n > 1 and ours.min is not None and ours.max is not None:
        meets = target.meets(ours.min, ours.max, ROUNDED if target.unit == "% of weights" else 1.0)
    return {
        "series": results.name,
        "quantity": target.quantity,
        "relative_to": target.relative_to,
        "subnetwork": target.series,
        "n": n,
        "ours": ours.mean,
        "ours_min": ours.min,
        "ours_max": ours.max,
        "ours_half_width": ours.half_width,
        "theirs": target.value,
        "theirs_low": target.low,
        "theirs_high": target.high,
        "theirs_spread": target.spread,
        "relation": target.relation,
        "difference": None if ours.mean is None else ours.mean - target.value,
        "in_spread": meets,
        "unit": target.unit,
        "remaining_weights": target.remaining_weights,
        "source": target.source,
        "doubt": target.doubt,
    }


def _candidates(rows: Sequence[Row], target: Target) -> list[Results]:
    """Return our series of the target's arm, method and rewind step.

    A dense run that several have in common counts once.
    """
    merged = target.quantity in OVER_REWIND_STEPS
    fitting = [row for row in rows if target.fits(row)]
    groups: dict[str, list[Row]] = {}
    for row in fitting if merged or target.series != "dense" else _once(fitting):
        groups.setdefault(series_of(row).rpartition("/")[0] if merged else series_of(row), []).append(row)
    return [Results(name, tuple(found)) for name, found in groups.items()]


def _once(rows: Sequence[Row]) -> list[Row]:
    """Return the rows, those with the same key once."""
    return list({row.get("key", i): row for i, row in reversed(list(enumerate(rows)))}.values())[::-1]

"""The cost of weights that come from other data: the generalisation gap of warm starts (Ash & Adams 2019)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lth_ray.analysis.statistics import CONFIDENCE, interval, within_seeds
from lth_ray.config import ACCURACY, Metric, is_there
from lth_ray.record.report.listing import Listing
from lth_ray.record.report.summary import COMMON, SERIES, chain, in_words, measures, series_of
from lth_ray.record.report.tables import Row, framed, metric_of_frame
from lth_ray.record.report.wording import as_words, percent, points, spread, valued

if TYPE_CHECKING:
    import pandas

Group = tuple[str, str, str, int, str]  # series, changes of the data, kind of subnetwork, round, start
FRESH = ("dense", 0, "rewound")
FOUND = ("changes", "subnetwork", "start", "round", "remaining_weights", "n")
GAPS = ("gap", "gap_min", "gap_max", "gap_half_width")


def transfers(branches: Sequence[Row], metric: Metric = ACCURACY) -> "pandas.DataFrame":
    """Return a row for each series, change of data, and start of a subnetwork that was trained on other data.

    subnetwork: dense, ticket or a control, as found on the study's own data. start: its "rewound" or "trained" weights.
    n: seeds; several results of one are averaged first. gap: by how much its metric on the test set is better than that
    of the dense network trained on these data from its initial weights, a fresh start, paired by seed: mean, with _min,
    _max and _half_width, that of the 95 % t-interval. Warm starts that generalise worse have a negative one.
    """
    test = metric.column("test")
    groups: dict[Group, list[Row]] = {}
    for row in branches:
        if measures(row, "transfer") and is_there(row.get(test)):
            name = series_of(row), _changes(row), _subnetwork(row), row["round"], row["start"]
            groups.setdefault(name, []).append(row)
    lines = [_line(groups, name, metric) for name in groups]
    return framed(lines, metric, [SERIES, *COMMON, *FOUND, test, *GAPS])


def transfers_listing(frame: "pandas.DataFrame") -> Listing | None:
    """Return the transfers with a note; None where there are none."""
    if frame.empty:
        return None
    told = [name for name in (SERIES, "changes") if frame[name].nunique() > 1]
    metric = metric_of_frame(frame)
    lines = [_text(line, told, metric) for line in frame.to_dict("records")]
    judged = f"test {metric.called}"
    turned = "" if metric.better == "higher" else ", positive where it is better"
    note = (
        "Every subnetwork was found on the study's own data and then trained on other data, from its rewound or from "
        "its trained weights, or the random ones of a control, whose mask is permuted over all layers, too. "
        f"To a fresh start: its {judged} minus that of the dense network trained on these data from its initial "
        f"weights, paired by seed{turned}: mean ± half the {100 * CONFIDENCE:g} % t-interval; n counts seeds."
    )
    headings = ("on other data", "start", "round", "remaining", judged, "to a fresh start", "n")
    return Listing("On other data", headings, lines, headings[:2], note)


def _line(groups: Mapping[Group, Sequence[Row]], name: Group, metric: Metric) -> dict[str, Any]:
    series, changes, kind, number, start = name
    rows = groups[name]
    test = metric.column("test")
    own, fresh = (_judged(some, test) for some in (rows, groups.get((series, changes, *FRESH), ())))
    gap = interval(metric.gain(own[seed], fresh[seed]) for seed in sorted(own.keys() & fresh.keys()))
    return {
        SERIES: series,
        **{column: rows[0].get(column) for column in COMMON},
        "changes": changes,
        "subnetwork": kind,
        "start": start,
        "round": number,
        "remaining_weights": rows[0]["remaining_weights"],
        "n": len(own),
        test: interval(own.values()).mean,
        "gap": gap.mean,
        "gap_min": gap.min,
        "gap_max": gap.max,
        "gap_half_width": gap.half_width,
    }


def _text(line: Mapping[str, Any], told: Sequence[str], metric: Metric) -> tuple[str, ...]:
    gap = points(line["gap"], sign=True, metric=metric)
    return (
        ", ".join([in_words(line["subnetwork"]), *(line[name] for name in told)]),
        line["start"],
        str(line["round"]),
        percent(line["remaining_weights"]),
        valued(line[metric.column("test")], metric),
        f"{gap}{spread(line['gap_half_width'], metric)}",
        str(line["n"]),
    )


def _changes(row: Row) -> str:
    """Return what is changed in words, and what of Transfer's other fields is not as it is by default."""
    others = {"length": row.get("length"), "output": row.get("output")}
    told = [f"{name} {value}" for name, value in others.items() if is_there(value)]
    return ", ".join(filter(None, [as_words("", row["changes"]) or "nothing", *told]))


def _subnetwork(row: Row) -> str:
    """Return what was transferred: what the transfer hangs on."""
    return chain({**row, "branch": str(row["branch"]).rpartition("/")[0]})


def _judged(rows: Sequence[Row], column: str) -> dict[int, float]:
    return within_seeds((row["seed"], row[column]) for row in rows)

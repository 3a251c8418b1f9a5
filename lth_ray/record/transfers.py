"""What weights that come from other data cost in accuracy: the generalisation gap of warm starts (Ash & Adams 2019)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lth_ray.analysis.statistics import differences, interval, within_seeds
from lth_ray.record.listing import Listing
from lth_ray.record.subnetworks import chain, measures
from lth_ray.record.summary import COMMON, SERIES, is_there, series_of
from lth_ray.record.tables import plain
from lth_ray.record.wording import percent, points

if TYPE_CHECKING:
    import pandas

Row = Mapping[str, Any]
Group = tuple[str, str, str, int, str]  # series, changes of the data, kind of subnetwork, round, start
FRESH = ("dense", 0, "rewound")
FOUND = (
    "changes", "subnetwork", "start", "round", "remaining_weights", "n", "test_accuracy", "gap", "gap_min", "gap_max",
    "gap_half_width",
)  # fmt: skip
HEADINGS = ("on other data", "start", "round", "remaining", "test accuracy", "to a fresh start", "min", "max", "n")


def transfers(branches: Sequence[Row]) -> "pandas.DataFrame":
    """A row for each series, change of data, and start of a subnetwork that was trained on other data.

    subnetwork: dense, ticket or a control, as found on the study's own data. start: its "rewound" or "trained" weights.
    n: seeds; several results of one are averaged first. gap: its accuracy minus that of the dense network trained on
    these data from its initial weights, a fresh start, paired by seed: mean, with _min, _max and _half_width, that of
    the 95 % t-interval. Warm starts that generalise worse have a negative one.
    """
    import pandas

    groups: dict[Group, list[Row]] = {}
    for row in branches:
        if measures(row, "transfer") and is_there(row.get("test_accuracy")):
            name = series_of(row), plain(row["changes"]), _subnetwork(row), row["round"], row["start"]
            groups.setdefault(name, []).append(row)
    return pandas.DataFrame([_line(groups, name) for name in groups], columns=[SERIES, *COMMON, *FOUND])


def transfers_listing(frame: "pandas.DataFrame") -> Listing | None:
    """The transfers with a note; None where there are none."""
    if frame.empty:
        return None
    told = [name for name in (SERIES, "changes") if frame[name].nunique() > 1]
    lines = [_text(line, told) for line in frame.to_dict("records")]
    note = (
        "Every subnetwork was found on the study's own data and then trained on other data, from its rewound or from "
        "its trained weights. To a fresh start: its test accuracy minus that of the dense network trained on these "
        "data from its initial weights, paired by seed; n counts seeds."
    )
    return Listing("On other data", HEADINGS, lines, HEADINGS[:2], note)


def _line(groups: Mapping[Group, Sequence[Row]], name: Group) -> dict[str, Any]:
    series, changes, kind, number, start = name
    rows = groups[name]
    own, fresh = _accuracies(rows), _accuracies(groups.get((series, changes, *FRESH), ()))
    gap = interval(differences(own, fresh))
    return {
        SERIES: series, **{column: rows[0].get(column) for column in COMMON}, "changes": changes, "subnetwork": kind,
        "start": start, "round": number, "remaining_weights": rows[0]["remaining_weights"], "n": len(own),
        "test_accuracy": interval(own.values()).mean, "gap": gap.mean, "gap_min": gap.min, "gap_max": gap.max,
        "gap_half_width": gap.half_width,
    }  # fmt: skip


def _text(line: Mapping[str, Any], told: Sequence[str]) -> tuple[str, ...]:
    gap = points(line["gap"], sign=True)
    if is_there(line["gap_half_width"]):
        gap += f" ± {100 * line['gap_half_width']:.2f}"
    return (
        ", ".join([line["subnetwork"].replace("_", " "), *(line[name] for name in told)]), line["start"],
        str(line["round"]), percent(line["remaining_weights"]), percent(line["test_accuracy"]), gap,
        points(line["gap_min"], sign=True), points(line["gap_max"], sign=True), str(line["n"]),
    )  # fmt: skip


def _subnetwork(row: Row) -> str:
    """What was transferred: what the transfer hangs on."""
    return chain({**row, "branch": str(row["branch"]).rpartition("/")[0]})


def _accuracies(rows: Sequence[Row]) -> dict[int, float]:
    return within_seeds((row["seed"], row["test_accuracy"]) for row in rows)

"""The summary of a study over its seeds: one line for each kind of subnetwork and round, with n and spread."""

import re
from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lth_ray.analysis.statistics import Interval, interval, within_seeds
from lth_ray.config import ACCURACY, Metric, is_there
from lth_ray.record.report.tables import Row, branch_columns, framed, metric_of_frame, plain, rows_of, ticket_columns

if TYPE_CHECKING:
    import pandas

SERIES = "series"


def summary(
    tickets: Sequence[Row], branches: Sequence[Row], fields: Sequence[str] | None = None, metric: Metric = ACCURACY
) -> "pandas.DataFrame":
    """Return a row for each (series, branch and its parameters, round), in the order of the rows given.

    Branch results that only measure, such as a barrier, have no test metric and no place here.

    Columns. series: a lineage without its seed: arm, swept values, method and rewind point; the columns after
    it say the same one by one. branch: its `path_of`, "" for tickets. seeds: n, the different seeds behind the line.
    runs: its results, more than seeds where a branch has `copies`; they are averaged within a seed first. diverged:
    runs without a test metric, which enter no mean. test_METRIC, such as test_accuracy, early_stop_step: mean
    over seeds, with _min, _max and _half_width, that of the 95 % t-interval over seeds (None under 2).
    at_end: runs whose early-stop step is their last, where it might have come later.
    test_METRIC_at_early_stop, remaining_weights, remaining_of_all: means over seeds. steps_per_epoch: of the
    first row.

    fields: swept fields and branches' parameters; None: every column beyond the fixed ones.
    """
    fields = described_by(tickets, branches, metric) if fields is None else list(fields)
    trained = [row for row in branches if has_trained(row, metric)]
    lines = [_line(rows, fields, metric) for rows in grouped([*tickets, *trained], fields)]
    return framed(lines, metric, [SERIES, *COMMON, *fields, "branch", "round", *_measured(metric)])


def summary_of(frame: "pandas.DataFrame") -> "pandas.DataFrame":
    """Return the summary of tickets, and of branch results under them; what is one already as it is.

    A dense network that was pruned before it was trained is left out: it is no level to compare others with.
    """
    if "seeds" in frame.columns:
        return frame
    metric, rows = metric_of_frame(frame), rows_of(frame)
    tickets = [_less(row, ticket_columns(metric)) for row in rows if not row.get("branch")]
    branches = [_less(row, branch_columns(metric)) for row in rows if row.get("branch")]
    return summary([row for row in tickets if row["round"] > 0 or is_level(row)], branches, None, metric)


def _less(row: Row, fixed: Container[str]) -> Row:
    """Return a row of several tables' columns without those that are none of its own."""
    of_branches = () if row.get("branch") else ("branch", "index")
    own = {name: value for name, value in row.items() if name not in of_branches}
    return {name: value for name, value in own.items() if value is not None or name in fixed}


def grouped(rows: Sequence[Row], fields: Sequence[str]) -> list[list[Row]]:
    """Return rows that differ only in seed and copy, together."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        described = tuple(plain(row[name]) if name in row else "" for name in fields)
        kind = path_of(row), row["method"]  # a supermask has a method of its own
        groups.setdefault((series_of(row), *kind, described, row["round"]), []).append(row)
    return list(groups.values())


def has_trained(row: Row, metric: Metric = ACCURACY) -> bool:
    """Return whether a branch's row has a test metric, or would but for a loss that diverged."""
    return is_there(row.get(metric.column("test"))) or is_there(row.get("diverged_at"))


def is_level(row: Row) -> bool:
    """Return whether a ticket's row is a level to compare others with: a dense network that was trained.

    One that is pruned at step 0 was not.
    """
    return bool(row["round"] == 0) and row.get("train_steps") != 0


COMMON = ("arm", "method", "rewind_step")
SPREAD = ("", "_min", "_max", "_half_width")


def _measured(metric: Metric) -> list[str]:
    test = metric.column("test")
    return [
        "remaining_weights",
        "remaining_of_all",
        "steps_per_epoch",
        "seeds",
        "runs",
        "diverged",
        *(f"{test}{end}" for end in SPREAD),
        *(f"early_stop_step{end}" for end in SPREAD),
        "at_end",
        metric.at_early_stop,
    ]


def described_by(tickets: Sequence[Row], branches: Sequence[Row], metric: Metric = ACCURACY) -> list[str]:
    """Return the columns that rows have beyond the fixed ones: swept fields, then branches' parameters."""
    fixed, of_branches = ticket_columns(metric), branch_columns(metric)
    found = [name for row in tickets for name in row if name not in fixed]
    return list(dict.fromkeys([*found, *(name for row in branches for name in row if name not in of_branches)]))


def series_of(row: Row) -> str:
    """Return a row's lineage without its seed, which comes last."""
    return str(row["lineage"]).rpartition("/")[0]


def _line(rows: list[Row], fields: list[str], metric: Metric) -> dict[str, Any]:
    test = metric.column("test")
    first, trained = rows[0], [row for row in rows if row.get("train_steps") != 0]
    return {
        SERIES: series_of(first),
        **{name: first[name] for name in COMMON},
        **{name: first.get(name) for name in fields},
        "branch": path_of(first),
        "round": first["round"],
        "remaining_weights": over_seeds(rows, "remaining_weights").mean,
        "remaining_of_all": over_seeds(rows, "remaining_of_all").mean,
        "steps_per_epoch": first.get("steps_per_epoch"),
        "seeds": len({row["seed"] for row in rows}),
        "runs": len(rows),
        "diverged": len(rows) - len(present(rows, test)),
        **_spread(test, rows),
        **_spread("early_stop_step", trained),
        "at_end": sum(row.get("early_stop_at_end") is True for row in trained),
        metric.at_early_stop: over_seeds(rows, metric.at_early_stop).mean,
    }


def _spread(name: str, rows: Sequence[Row]) -> dict[str, Any]:
    found = over_seeds(rows, name)
    ends = {f"{name}_min": found.min, f"{name}_max": found.max, f"{name}_half_width": found.half_width}
    return {name: found.mean, **ends}


def over_seeds(rows: Sequence[Row], name: str) -> Interval:
    """Return a column's mean and spread over seeds, several results of one seed averaged first."""
    return interval(within_seeds((row["seed"], row[name]) for row in rows if is_there(row.get(name))).values())


def present(rows: Sequence[Row], name: str) -> list[float]:
    """Return a column's values, those that were measured."""
    return [row[name] for row in rows if is_there(row.get(name))]


COPY = re.compile(r"-\d+$")
PARTS = re.compile(r"[_=]|-(?=[a-z])")  # between words, and not in 1e-05
MEASUREMENTS = (
    "barrier",
    "stability",
    "connectivity",
    "curvature",
    "weights",
    "mask_overlap",
    "sign_flips",
)  # branches that measure what they hang on


def subnetwork(row: Mapping[str, Any]) -> str:
    """Return "dense", "ticket", or the branch's name: of the row itself, or of what its measurement hangs on.

    The path "random_mask-0/barrier" is about a "random_mask", "barrier" about a ticket (the dense network at round 0).
    """
    path = str(row.get("branch") or "").split("/")
    hosts = path[:-1] if path[-1] in MEASUREMENTS else path
    return hosts[-1].partition("-")[0] if hosts and hosts[-1] else "ticket" if row["round"] else "dense"


def chain(row: Mapping[str, Any]) -> str:
    """Return `subnetwork`, with all that it hangs on and what tells it from others of its kind, but no copy's
    number.

    "random_reinit, random_mask" stands for "random_reinit-0/random_mask-1/barrier". What is averaged together
    has one chain.
    """
    path = path_of(row).split("/")
    hosts = path[:-1] if path[-1] in MEASUREMENTS else path
    return ", ".join(filter(None, hosts)) or ("ticket" if row["round"] else "dense")


def path_of(row: Mapping[str, Any]) -> str:
    """Return a branch's path without the numbers of copies: "random_mask/barrier" of "random_mask-1/barrier".

    Results on the copies of a branch are averaged within a seed, as copies are.
    """
    return "/".join(COPY.sub("", part) for part in str(row.get("branch") or "").split("/"))


def in_words(path: str) -> str:
    """Return a part of a path as people read it: "perturb redrawn signs rewound"."""
    return PARTS.sub(" ", path)


def measures(row: Mapping[str, Any], name: str) -> bool:
    """Return whether the row is a result of the measurement `name`."""
    return str(row.get("branch") or "").split("/")[-1] == name

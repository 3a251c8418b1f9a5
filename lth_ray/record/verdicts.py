"""Comparisons in words: every one of them for a page, and what they come to for a terminal."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any

from lth_ray.analysis.statistics import CONFIDENCE, LEAST, LEVEL
from lth_ray.record.comparisons import DENSE
from lth_ray.record.listing import Listing
from lth_ray.record.summary import is_there
from lth_ray.record.wording import labels, percent, points

if TYPE_CHECKING:
    import pandas
    from rich.table import Table

HEADINGS = ("subnetwork", "round", "remaining", "against", "difference", "min", "max", "verdict", "p", "n")
BRIEF = ("subnetwork", "against", "n", "verdict, at weights remaining")


def comparisons_listing(frame: "pandas.DataFrame") -> Listing | None:
    """Every comparison; None where there are none. The note is with the verdicts."""
    if frame.empty:
        return None
    lines = [_text(line, label) for line, label in zip(frame.to_dict("records"), _labels(frame), strict=True)]
    return Listing("Every comparison", HEADINGS, lines, ("subnetwork", "against", "verdict"))


def verdicts_listing(frame: "pandas.DataFrame") -> Listing | None:
    """At which densities each verdict holds; None where nothing was compared."""
    if frame.empty:
        return None
    return Listing("Verdicts", BRIEF, _brief(frame), (BRIEF[0], BRIEF[1], BRIEF[3]), _note(frame))


def comparisons_table(frame: "pandas.DataFrame") -> "Table":
    """For a terminal: at which densities each verdict holds."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(*BRIEF, title=_title(frame), title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for line in _brief(frame):
        table.add_row(*line)
    return table


def _brief(frame: "pandas.DataFrame") -> list[tuple[str, ...]]:
    """A line under BRIEF for each kind of ticket and what it is compared with."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for label, line in zip(_labels(frame), frame.to_dict("records"), strict=True):
        groups.setdefault((label, line["against"]), []).append(line)
    ns = {name: sorted({line["n"] for line in lines}) for name, lines in groups.items()}
    return [
        (*name, "-".join(map(str, dict.fromkeys((ns[name][0], ns[name][-1])))), _where(lines))
        for name, lines in groups.items()
    ]


def verdict_of(line: Mapping[str, Any]) -> str:
    return str(line["matching"] if line["against"] == DENSE else line["superiority"])


def _where(lines: Iterable[Mapping[str, Any]]) -> str:
    """ "matching at 80-51.2 %; not shown at 40.9 %": runs of consecutive rounds that were compared."""
    ordered = sorted(lines, key=lambda line: int(line["round"]))
    runs: dict[str, list[str]] = {}
    for verdict, group in groupby(ordered, verdict_of):
        ends = [f"{100 * line['remaining_weights']:.3g}" for line in group]
        runs.setdefault(verdict, []).append(ends[0] if len(ends) == 1 else f"{ends[0]}-{ends[-1]}")
    parts = [verdict if "no verdict" in verdict else f"{verdict} at {', '.join(at)} %" for verdict, at in runs.items()]
    return "; ".join(parts)


def _title(frame: "pandas.DataFrame") -> str:
    return f"tickets over seeds (matching: under {points(_margin(frame))} worse; better: p < {LEVEL:g} by Holm)"


def _margin(frame: "pandas.DataFrame") -> float:
    margins = [value for value in frame["margin"] if is_there(value)]
    return float(margins[0]) if margins else 0.0


def _labels(frame: "pandas.DataFrame") -> list[str]:
    described = frame.copy()
    described.insert(described.columns.get_loc("round"), "branch", "")
    return labels(described)


def _text(line: Mapping[str, Any], label: str) -> tuple[str, ...]:
    half_width = line["difference_half_width"]
    spread = f" ± {100 * half_width:.2f}" if is_there(half_width) else ""
    p = line["matching_p"] if line["against"] == DENSE else line["superiority_p"]
    return (
        label, str(line["round"]), percent(line["remaining_weights"]), line["against"],
        f"{points(line['difference'], sign=True)}{spread}", points(line["difference_min"], sign=True),
        points(line["difference_max"], sign=True), verdict_of(line), f"{p:.2g}" if is_there(p) else "", str(line["n"]),
    )  # fmt: skip


def _note(frame: "pandas.DataFrame") -> str:
    return (
        "Differences in test accuracy are paired by seed, copies of a seed averaged first: mean ± half the "
        f"{100 * CONFIDENCE:g} % t-interval. Matching: a one-sided paired t test at the {100 * LEVEL:g} % level shows "
        f"that the ticket is less than {points(_margin(frame))} worse than the dense network. Better: shown to be "
        "above the control, p by Holm's correction over this table. Not shown is no proof of the contrary; under "
        f"{LEAST} seeds there is no verdict."
    )

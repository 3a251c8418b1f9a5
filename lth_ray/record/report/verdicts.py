"""Comparisons in words: every one of them for a page, and what they come to for a terminal."""

from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any

from lth_ray import printing
from lth_ray.analysis.statistics import CONFIDENCE, LEAST, LEVEL
from lth_ray.config import Metric, is_there
from lth_ray.record.report.comparisons import DENSE
from lth_ray.record.report.listing import Listing
from lth_ray.record.report.tables import metric_of_frame
from lth_ray.record.report.wording import labels, percent, points, ranged, spread

if TYPE_CHECKING:
    import pandas
    from rich.table import Table

Line = Mapping[str, Any]

HEADINGS = (
    "subnetwork",
    "round",
    "remaining",
    "against",
    "difference",
    "verdict",
    "p",
    "steps earlier",
    "faster",
    "p (faster)",
    "n",
)
BRIEF = ("subnetwork", "against", "in", "n", "verdict, at weights remaining")
SPEED = "early stop"
SHOWN = 60  # lines in a terminal


def comparisons_listing(frame: "pandas.DataFrame") -> Listing | None:
    """Return every comparison; None where there are none. The note is with the verdicts."""
    if frame.empty:
        return None
    metric = metric_of_frame(frame)
    lines = [
        _text(line, label, metric) for line, label in zip(frame.to_dict("records"), ticket_labels(frame), strict=True)
    ]
    return Listing("Every comparison", HEADINGS, lines, ("subnetwork", "against", "verdict", "faster"))


def verdicts_listing(frame: "pandas.DataFrame") -> Listing | None:
    """Return at which densities each verdict holds; None where nothing was compared."""
    if frame.empty:
        return None
    return Listing("Verdicts", BRIEF, _brief(frame), (*BRIEF[:3], BRIEF[4]), _note(frame))


def comparisons_table(frame: "pandas.DataFrame") -> "Table":
    """Return at which densities each verdict holds, for a terminal."""
    from rich.markup import escape

    lines = _brief(frame)
    more = f"{SHOWN} of {len(lines):,} verdicts; the report has more" if len(lines) > SHOWN else None
    table = printing.table(*BRIEF, title=_title(frame), caption=more)
    for line in lines[:SHOWN]:
        table.add_row(*map(escape, line))
    return table


def _brief(frame: "pandas.DataFrame") -> list[tuple[str, ...]]:
    """Return a line under BRIEF for each kind of ticket, what it is compared with, and in what."""
    groups: dict[tuple[str, str], list[Line]] = {}
    for label, line in zip(ticket_labels(frame), frame.to_dict("records"), strict=True):
        groups.setdefault((label, line["against"]), []).append(line)
    found: list[tuple[str, ...]] = []
    for name, lines in groups.items():
        ns = sorted({line["n"] for line in lines})
        n = ranged(*dict.fromkeys((ns[0], ns[-1])))
        found.append((*name, metric_of_frame(frame).called, n, _where(lines, verdict_of)))
        timed = [line for line in lines if speed_of(line)]
        if timed:
            found.append((*name, SPEED, n, _where(timed, speed_of)))
    return found


def verdict_of(line: Line) -> str:
    return str(line["matching"] if line["against"] == DENSE else line["superiority"])


def speed_of(line: Line) -> str:
    """Return the verdict on the early-stop step, "" where none was measured."""
    return str(line["faster"]) if is_there(line["faster"]) else ""


def runs_of(lines: Iterable[Line], verdict: Callable[[Line], str]) -> dict[str, list[str]]:
    """Return {verdict: ["80–51.2", "21"]}: the densities of consecutive rounds that were compared, in per cent."""
    ordered = sorted(lines, key=lambda line: int(line["round"]))
    runs: dict[str, list[str]] = {}
    for said, group in groupby(ordered, verdict):
        ends = [f"{100 * line['remaining_weights']:.3g}" for line in group]
        runs.setdefault(said, []).append(ends[0] if len(ends) == 1 else ranged(ends[0], ends[-1]))
    return runs


def _where(lines: Iterable[Line], verdict: Callable[[Line], str]) -> str:
    """Return "matching at 80-51.2 %; not shown at 40.9 %"."""
    runs = runs_of(lines, verdict)
    return "; ".join(
        said if said.startswith("no verdict (n") else f"{said} at {', '.join(at)} %" for said, at in runs.items()
    )


def _title(frame: "pandas.DataFrame") -> str:
    matching = f"matching: under {margin_said(frame)} worse; " if _has_dense(frame) else ""
    return f"tickets over seeds ({matching}p < {LEVEL:g} by Holm)"


def _has_dense(frame: "pandas.DataFrame") -> bool:
    """Return whether any ticket is compared with its dense network, which may not have been trained."""
    return DENSE in set(frame["against"])


def margin_of(frame: "pandas.DataFrame", column: str = "margin") -> float:
    margins = [value for value in frame[column] if is_there(value)]
    return float(margins[0]) if margins else 0.0


def margin_said(frame: "pandas.DataFrame", column: str = "margin") -> str:
    """Return "0.20 pp"."""
    return points(margin_of(frame, column), metric=metric_of_frame(frame))


def ticket_labels(frame: "pandas.DataFrame") -> list[str]:
    """Return the name of each line's tickets."""
    described = frame.copy()
    described.insert(described.columns.get_loc("round"), "branch", "")
    return labels(described)


def _text(line: Line, label: str, metric: Metric) -> tuple[str, ...]:
    difference = points(line["difference"], sign=True, metric=metric)
    earlier = f"{line['steps_earlier']:+,.0f}" if is_there(line["steps_earlier"]) else ""
    if earlier and is_there(line["steps_earlier_half_width"]):
        earlier += f" ± {line['steps_earlier_half_width']:,.0f}"
    p = line["matching_p"] if line["against"] == DENSE else line["superiority_p"]
    return (
        label,
        str(line["round"]),
        percent(line["remaining_weights"]),
        line["against"],
        f"{difference}{spread(line['difference_half_width'], metric)}",
        verdict_of(line),
        _p(p),
        earlier,
        speed_of(line),
        _p(line["faster_p"]),
        str(line["n"]),
    )


def _p(value: float | None) -> str:
    return f"{value:.2g}" if is_there(value) else ""


def _note(frame: "pandas.DataFrame") -> str:
    metric = metric_of_frame(frame)
    turned = "" if metric.better == "higher" else ", positive where the ticket is better"
    above = "above" if metric.better == "higher" else "below"
    matching = (
        f"Matching: a one-sided paired t test at the {100 * LEVEL:g} % level shows that the ticket is less than "
        f"{margin_said(frame)} worse than the dense network. "
    )
    return (
        f"Differences in test {metric.called} are paired by seed{turned}, copies of a seed averaged first: mean ± half "
        f"the {100 * CONFIDENCE:g} % t-interval. {matching if _has_dense(frame) else ''}Better: shown to be {above} "
        "the control. Faster: its early-stop step, that of the least validation loss, is shown to be the earlier one. "
        "Each kind of claim is corrected by Holm for its number in this table. Not shown is no proof of the "
        f"contrary; under {LEAST} seeds there is no verdict, nor one on the speed of tickets that are still learning "
        f"when their training ends.{unresolved(frame)}"
    )


def unresolved(frame: "pandas.DataFrame") -> str:
    """Return what is said where the test set is too small for the margin that a study asks for; "" where it
    is not.
    """
    asked, used = margin_of(frame, "margin_asked"), margin_of(frame)
    if not used > asked:
        return ""
    return (
        f" The margin asked for, {margin_said(frame, 'margin_asked')}, is {asked / used:.2g} of an image of this test "
        f"set, which cannot resolve it: one image, {margin_said(frame)}, is taken."
    )

"""Comparisons in words: every one of them for a page, and what they come to for a terminal."""

from collections.abc import Callable, Iterable, Mapping
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

Line = Mapping[str, Any]

HEADINGS = (
    "subnetwork", "round", "remaining", "against", "difference", "verdict", "p", "steps earlier", "faster",
    "p (faster)", "n",
)  # fmt: skip
BRIEF = ("subnetwork", "against", "in", "n", "verdict, at weights remaining")
ACCURACY, SPEED = "accuracy", "early stop"


def comparisons_listing(frame: "pandas.DataFrame") -> Listing | None:
    """Every comparison; None where there are none. The note is with the verdicts."""
    if frame.empty:
        return None
    lines = [_text(line, label) for line, label in zip(frame.to_dict("records"), ticket_labels(frame), strict=True)]
    return Listing("Every comparison", HEADINGS, lines, ("subnetwork", "against", "verdict", "faster"))


def verdicts_listing(frame: "pandas.DataFrame") -> Listing | None:
    """At which densities each verdict holds; None where nothing was compared."""
    if frame.empty:
        return None
    return Listing("Verdicts", BRIEF, _brief(frame), (*BRIEF[:3], BRIEF[4]), _note(frame))


def comparisons_table(frame: "pandas.DataFrame") -> "Table":
    """For a terminal: at which densities each verdict holds."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    table = Table(*BRIEF, title=_title(frame), title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for line in _brief(frame):
        table.add_row(*map(escape, line))
    return table


def _brief(frame: "pandas.DataFrame") -> list[tuple[str, ...]]:
    """A line under BRIEF for each kind of ticket, what it is compared with, and in what."""
    groups: dict[tuple[str, str], list[Line]] = {}
    for label, line in zip(ticket_labels(frame), frame.to_dict("records"), strict=True):
        groups.setdefault((label, line["against"]), []).append(line)
    found: list[tuple[str, ...]] = []
    for name, lines in groups.items():
        ns = sorted({line["n"] for line in lines})
        n = "-".join(map(str, dict.fromkeys((ns[0], ns[-1]))))
        found.append((*name, ACCURACY, n, _where(lines, verdict_of)))
        timed = [line for line in lines if speed_of(line)]
        if timed:
            found.append((*name, SPEED, n, _where(timed, speed_of)))
    return found


def verdict_of(line: Line) -> str:
    return str(line["matching"] if line["against"] == DENSE else line["superiority"])


def speed_of(line: Line) -> str:
    """The verdict on the early-stop step, "" where none was measured."""
    return str(line["faster"]) if is_there(line["faster"]) else ""


def runs_of(lines: Iterable[Line], verdict: Callable[[Line], str]) -> dict[str, str]:
    """{verdict: "80-51.2, 21"}: the densities of consecutive rounds that were compared, in per cent."""
    ordered = sorted(lines, key=lambda line: int(line["round"]))
    runs: dict[str, list[str]] = {}
    for said, group in groupby(ordered, verdict):
        ends = [f"{100 * line['remaining_weights']:.3g}" for line in group]
        runs.setdefault(said, []).append(ends[0] if len(ends) == 1 else f"{ends[0]}-{ends[-1]}")
    return {said: ", ".join(at) for said, at in runs.items()}


def _where(lines: Iterable[Line], verdict: Callable[[Line], str]) -> str:
    """ "matching at 80-51.2 %; not shown at 40.9 %" """
    runs = runs_of(lines, verdict)
    return "; ".join(said if said.startswith("no verdict (n") else f"{said} at {at} %" for said, at in runs.items())


def _title(frame: "pandas.DataFrame") -> str:
    matching = f"matching: under {points(margin_of(frame))} worse; " if _has_dense(frame) else ""
    return f"tickets over seeds ({matching}p < {LEVEL:g} by Holm)"


def _has_dense(frame: "pandas.DataFrame") -> bool:
    """Whether any ticket is compared with its dense network, which may not have been trained."""
    return DENSE in set(frame["against"])


def margin_of(frame: "pandas.DataFrame", column: str = "margin") -> float:
    margins = [value for value in frame[column] if is_there(value)]
    return float(margins[0]) if margins else 0.0


def ticket_labels(frame: "pandas.DataFrame") -> list[str]:
    """What each line's tickets are called."""
    described = frame.copy()
    described.insert(described.columns.get_loc("round"), "branch", "")
    return labels(described)


def _text(line: Line, label: str) -> tuple[str, ...]:
    half_width = line["difference_half_width"]
    spread = f" ± {100 * half_width:.2f}" if is_there(half_width) else ""
    earlier = f"{line['steps_earlier']:+,.0f}" if is_there(line["steps_earlier"]) else ""
    if earlier and is_there(line["steps_earlier_half_width"]):
        earlier += f" ± {line['steps_earlier_half_width']:,.0f}"
    p = line["matching_p"] if line["against"] == DENSE else line["superiority_p"]
    return (
        label, str(line["round"]), percent(line["remaining_weights"]), line["against"],
        f"{points(line['difference'], sign=True)}{spread}", verdict_of(line), _p(p), earlier, speed_of(line),
        _p(line["faster_p"]), str(line["n"]),
    )  # fmt: skip


def _p(value: float | None) -> str:
    return f"{value:.2g}" if is_there(value) else ""


def _note(frame: "pandas.DataFrame") -> str:
    matching = (
        f"Matching: a one-sided paired t test at the {100 * LEVEL:g} % level shows that the ticket is less than "
        f"{points(margin_of(frame))} worse than the dense network. "
    )
    return (
        "Differences in test accuracy are paired by seed, copies of a seed averaged first: mean ± half the "
        f"{100 * CONFIDENCE:g} % t-interval. {matching if _has_dense(frame) else ''}Better: shown to be above the "
        "control. Faster: its early-stop step, that of the least validation loss, is shown to be the earlier one. Each "
        "kind of claim is corrected by Holm for its number in this table. Not shown is no proof of the "
        f"contrary; under {LEAST} seeds there is no verdict, nor one on the speed of tickets that are still learning "
        f"when their training ends.{unresolved(frame)}"
    )


def unresolved(frame: "pandas.DataFrame") -> str:
    """What is said where the test set is too small for the margin that a study asks for; "" where it is not."""
    asked, used = margin_of(frame, "margin_asked"), margin_of(frame)
    if not used > asked:
        return ""
    return (
        f" The margin asked for, {points(asked)}, is {asked / used:.2g} of an image of this test set, which cannot "
        f"resolve it: one image, {points(used)}, is taken."
    )

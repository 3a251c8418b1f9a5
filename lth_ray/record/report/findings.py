"""A study's findings in plain sentences: its tickets beside their dense networks, and beside the controls."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lth_ray.analysis.statistics import LEAST
from lth_ray.config import is_there
from lth_ray.printing import enumerated
from lth_ray.record.report.comparisons import DENSE
from lth_ray.record.report.summary import SERIES
from lth_ray.record.report.tables import metric_of_frame
from lth_ray.record.report.verdicts import Line, margin_said, runs_of, speed_of, ticket_labels, verdict_of
from lth_ray.record.report.wording import kind as kind_of
from lth_ray.record.report.wording import ranged, spread

if TYPE_CHECKING:
    import pandas

MATCHING, BETTER, FASTER = "matching", "better", "faster"


def findings(frame: "pandas.DataFrame") -> list[str]:
    """Return two sentences from `comparisons`, one where there are no controls, none where nothing was
    compared.

    They are about the kind of tickets that matches its dense network with the fewest weights, or, where that is shown
    of none, about all; they claim what the verdicts do, and say of the rest that it is not shown.
    """
    lines = frame.to_dict("records")
    if not lines:
        return []
    most = max(line["n"] for line in lines)
    if most < LEAST:
        there = "there is 1" if most == 1 else f"there are {most}"
        return [f"Nothing is concluded: a verdict takes {LEAST} seeds, and {there}."]
    kinds = _kinds(frame)
    matching = {label: own for label, own in kinds.items() if _matching(own)}
    best = min(matching, key=lambda label: _sparsest(matching[label]), default="")
    about = matching[best] if best else lines
    found = [_beside_dense(best, about, len(matching), len(kinds), margin_said(frame))]
    return (
        [*found, _beside_controls(about, metric_of_frame(frame).beating)]
        if any(line["against"] != DENSE for line in about)
        else found
    )


def reading(summary: "pandas.DataFrame", compared: "pandas.DataFrame") -> list[str]:
    """Return the findings with the numbers behind them: what the tickets reach with the fewest weights with which they
    match, or else with the fewest, beside their dense networks and controls.

    summary: as of `summary`. compared: as of `comparisons`.
    """
    said, kinds = findings(compared), _kinds(compared)
    if not said:
        return []
    matching = {label: own for label, own in kinds.items() if _matching(own)}
    label = min(matching, key=lambda one: _sparsest(matching[one]), default=next(iter(kinds)))
    own = _matching(kinds[label]) or kinds[label]
    line = max(own, key=lambda one: int(one["round"]))
    reached = _reached(summary, line, kinds[label], _tickets(label))
    return [said[0], *([reached] if reached else []), *said[1:]]


def _reached(summary: "pandas.DataFrame", line: Line, kind: Sequence[Line], who: str) -> str:
    """Return "With 17 % of the weights tickets reach 97.85 ± 0.19 %, the dense network ...": means over seeds."""
    metric = metric_of_frame(summary)
    test = metric.column("test")
    names = list(dict.fromkeys(one["against"] for one in kind if one["round"] == line["round"]))
    rows = [row for row in summary.to_dict("records") if row[SERIES] == line[SERIES] and is_there(row[test])]
    values = {}
    for row in rows:
        if row["branch"] == "" and row["round"] in (0, line["round"]):
            values["the dense network" if row["round"] == 0 else who] = row
        elif row["round"] == line["round"] and kind_of(row) in names:  # one kind of control, whose parameters are fixed
            values[kind_of(row)] = row
    told = {
        name: f"{metric.bare(row[test])}{spread(row[f'{test}_half_width'], metric)}" for name, row in values.items()
    }
    if who not in told or "the dense network" not in told:
        return ""
    unit = f" {metric.unit}" if metric.unit else ""
    others = [f"{name} {value}{unit}" for name, value in told.items() if name != who]
    at = f"With {100 * line['remaining_weights']:.3g} % of the weights"
    return f"{at}, {who} reach {told[who]}{unit} test {metric.called}, {enumerated(others, 'and')}."


def _kinds(frame: "pandas.DataFrame") -> dict[str, list[Line]]:
    """Return the comparisons of each kind of tickets."""
    kinds: dict[str, list[Line]] = {}
    for label, line in zip(ticket_labels(frame), frame.to_dict("records"), strict=True):
        kinds.setdefault(label, []).append(line)
    return kinds


def _tickets(label: str) -> str:
    """Return the plural of a kind of tickets: "tickets" of "ticket", "tickets (iterative)" of "ticket, iterative"."""
    _, _, told = label.partition(", ")
    return f"tickets ({told})" if told else "tickets"


def _beside_dense(best: str, about: Sequence[Line], matching: int, kinds: int, margin: str) -> str:
    own = _against(about, DENSE)
    n = _span([line["n"] for line in own])
    if not own:
        return "No ticket can be compared with the dense network that it was found in."
    if not best:
        claim = f"That tickets match their dense network, less than {margin} worse,"
        return f"{claim} is not shown at any density (n = {n} seeds)."
    match = "1 matches its" if matching == 1 else f"{matching} match their"
    sparsest = " with the fewest weights" if matching > 1 else ""
    several = f"Of {kinds} kinds of tickets {match} dense network; {_tickets(best)} do so{sparsest}"
    who = "Tickets match their dense network" if kinds == 1 else several
    claim_ = f"{who}, less than {margin} worse, {_down_to(own)} (n = {n} seeds)"
    timed = [line for line in own if speed_of(line)]
    faster = _shown(timed, speed_of, FASTER)
    if faster:
        return f"{claim_}, and learn faster than it with {faster} %."
    return f"{claim_}; that they learn faster than it is not shown." if timed else f"{claim_}."


def _beside_controls(about: Sequence[Line], beating: str) -> str:
    names = list(dict.fromkeys(line["against"] for line in about if line["against"] != DENSE))
    timed = [line for line in about if speed_of(line)]
    claims = [
        _claims(about, names, verdict_of, BETTER, f"are {beating} than", f"be {beating} than"),
        _claims(timed, names, speed_of, FASTER, "learn faster than", "learn faster than"),
    ]
    return f"They {'; they '.join(claim for claim in claims if claim)}."


def _claims(
    about: Sequence[Line], names: Sequence[str], verdict: Callable[[Line], str], shown: str, does: str, do: str
) -> str:
    """Return "are more accurate than random reinit with 21-7 %, and not shown to be so than random mask"."""
    at = {name: _shown(_against(about, name), verdict, shown) for name in names if _against(about, name)}
    alike = {where: [name for name in at if at[name] == where] for where in at.values() if where}
    held = [f"{enumerated(own, 'and')} with {where} % of the weights" for where, own in alike.items()]
    open_ = [name for name, where in at.items() if not where]
    if not held:
        return f"are not shown to {do} {enumerated(open_)}" if at else ""
    said = f"{does} {enumerated(held, 'and')}"
    return f"{said}, which is not shown of {enumerated(open_)}" if open_ else said


def _down_to(own: Sequence[Line]) -> str:
    """Return with which weights tickets match: "down to 17 % of the weights" where all denser ones match too."""
    ordered = sorted(own, key=lambda line: int(line["round"]))
    verdicts = [verdict_of(line) == MATCHING for line in ordered]
    last = sum(verdicts) - 1
    if last > 0 and all(verdicts[: last + 1]):
        return f"down to {100 * ordered[last]['remaining_weights']:.3g} % of the weights"
    return f"with {_shown(own, verdict_of, MATCHING)} % of the weights"


def _matching(lines: Sequence[Line]) -> list[Line]:
    return [line for line in _against(lines, DENSE) if verdict_of(line) == MATCHING]


def _shown(lines: Sequence[Line], verdict: Callable[[Line], str], shown: str) -> str:
    """Return the densities at which a verdict holds, in per cent: "80-51.2 and 21"; "" where it holds at none."""
    return enumerated(runs_of(lines, verdict).get(shown, []), "and")


def _against(lines: Sequence[Line], name: str) -> list[Line]:
    return [line for line in lines if line["against"] == name]


def _sparsest(lines: Sequence[Line]) -> float:
    return min(float(line["remaining_weights"]) for line in _matching(lines))


def _span(values: Sequence[int]) -> str:
    return ranged(*dict.fromkeys((min(values), max(values)))) if values else "0"

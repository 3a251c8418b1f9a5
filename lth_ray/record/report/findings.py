"""A study's findings, in two plain sentences: its tickets beside their dense networks, and beside the
controls.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lth_ray.analysis.statistics import LEAST
from lth_ray.record.report.comparisons import DENSE
from lth_ray.record.report.tables import metric_of_frame
from lth_ray.record.report.verdicts import Line, margin_said, runs_of, speed_of, ticket_labels, verdict_of

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
    if max(line["n"] for line in lines) < LEAST:
        return [
            f"Nothing is concluded: a verdict takes {LEAST} seeds, and there are {max(line['n'] for line in lines)}."
        ]
    kinds: dict[str, list[Line]] = {}
    for label, line in zip(ticket_labels(frame), lines, strict=True):
        kinds.setdefault(label, []).append(line)
    matching = {label: own for label, own in kinds.items() if _shown(_against(own, DENSE), verdict_of, MATCHING)}
    best = min(matching, key=lambda label: _sparsest(matching[label]), default="")
    about = matching[best] if best else lines
    found = [_beside_dense(best, about, len(matching), len(kinds), margin_said(frame))]
    return (
        [*found, _beside_controls(about, metric_of_frame(frame).beating)]
        if any(line["against"] != DENSE for line in about)
        else found
    )


def _beside_dense(best: str, about: Sequence[Line], matching: int, kinds: int, margin: str) -> str:
    own = _against(about, DENSE)
    n = _span([line["n"] for line in own])
    if not own:
        return "No ticket can be compared with the dense network that it was found in."
    if not best:
        claim = f"That tickets match their dense network, less than {margin} worse,"
        return f"{claim} is not shown at any density (n = {n} seeds)."
    who = "Tickets" if kinds == 1 else f"Of {kinds} kinds of tickets {matching} match their dense network; {best}"
    does = "match their dense network" if kinds == 1 else "does so with the fewest weights"
    at = _shown(own, verdict_of, MATCHING)
    claim_ = f"{who} {does}, less than {margin} worse, with {at} % of the weights (n = {n} seeds)"
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
    held = [f"{name} with {where} % of the weights" for name, where in at.items() if where]
    open_ = [name for name, where in at.items() if not where]
    if not held:
        return f"are not shown to {do} {' or '.join(open_)}" if at else ""
    said = f"{does} {' and '.join(held)}"
    return f"{said}, which is not shown of {' and '.join(open_)}" if open_ else said


def _shown(lines: Sequence[Line], verdict: Callable[[Line], str], shown: str) -> str:
    """Return the densities at which a verdict holds, in per cent: "80-51.2"; "" where it holds at none."""
    return runs_of(lines, verdict).get(shown, "")


def _against(lines: Sequence[Line], name: str) -> list[Line]:
    return [line for line in lines if line["against"] == name]


def _sparsest(lines: Sequence[Line]) -> float:
    return min(float(line["remaining_weights"]) for line in _against(lines, DENSE) if verdict_of(line) == MATCHING)


def _span(values: Sequence[int]) -> str:
    return "-".join(map(str, dict.fromkeys((min(values), max(values))))) if values else "0"

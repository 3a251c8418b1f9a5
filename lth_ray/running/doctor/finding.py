"""One line of the doctor's table."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Result = Literal["ok", "note", "problem"]
OK: Result = "ok"
NOTE: Result = "note"
PROBLEM: Result = "problem"


@dataclass(frozen=True)
class Finding:
    """A finding, one line of the table.

    check: its name.
    nodes: whom it concerns, none for the machine or cluster as a whole.
    found: what was seen.
    remedy: what to do about it, never empty where the result is a problem.
    """

    check: str
    result: Result
    found: str
    remedy: str = ""
    nodes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert self.remedy or self.result != PROBLEM, f"{self.check}: a problem without a remedy"


@dataclass(frozen=True)
class Failure:
    """A reason in place of an answer: why there is none."""

    why: str


Answers = Mapping[str, Any]  # node -> what it answered, or a Failure


@dataclass(frozen=True)
class Verdict:
    """The finding of a check on one node."""

    result: Result
    found: str
    remedy: str = ""


def by_verdict(check: str, verdicts: Mapping[str, Verdict]) -> list[Finding]:
    """Return a finding for each different verdict, which names the nodes that have it; the worst come first."""
    nodes: dict[Verdict, list[str]] = {}
    for node, verdict in verdicts.items():
        nodes.setdefault(verdict, []).append(node)
    order = (PROBLEM, NOTE, OK)
    ranked = sorted(nodes.items(), key=lambda item: order.index(item[0].result))
    return [Finding(check, v.result, v.found, v.remedy, tuple(concerned)) for v, concerned in ranked]


def exit_code(findings: Iterable[Finding]) -> int:
    """Return 0 where nothing is a problem, else 1."""
    return int(any(finding.result == PROBLEM for finding in findings))

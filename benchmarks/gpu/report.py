"""The findings of a check of a GPU: figures and facts, as a table and as a file that is whole whenever it is read."""

import json
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.timing import Paired


@dataclass(frozen=True)
class Figure:
    """A measured number.

    spread: the quartiles over n turns.
    least, most: the target, where there is one.
    expected: what was estimated before anything had run on a GPU, in words.
    """

    name: str
    unit: str
    value: float
    spread: tuple[float, float]
    n: int
    least: float | None = None
    most: float | None = None
    expected: str = ""

    @property
    def holds(self) -> bool | None:
        if self.least is None and self.most is None:
            return None
        return (self.least is None or self.value >= self.least) and (self.most is None or self.value <= self.most)


@dataclass(frozen=True)
class Fact:
    """Something that is so. holds: whether it is as it must be; None where it is only told."""

    name: str
    value: str
    holds: bool | None = None


Found = Figure | Fact
NEEDS_CUDA = "needs CUDA"
STATES = ("done", "begun", "broken", "not begun")


def figure(name: str, unit: str, values: Sequence[float], **given: Any) -> Figure:
    """Return the median and the quartiles of several values."""
    low, middle, high = statistics.quantiles(values, n=4)
    return Figure(name, unit, middle, (low, high), len(values), **given)


def rates(name: str, unit: str, work: float, seconds: Sequence[float], **given: Any) -> Figure:
    """Return the rate of so much work in each of so many seconds."""
    return figure(name, unit, [work / taken for taken in seconds], **given)


def quotient(name: str, measured: Paired, **given: Any) -> Figure:
    """Return our speed as a multiple of theirs, pair by pair."""
    return figure(name, "x", [1 / ratio for ratio in measured.ratios], **given)


def read(row: dict[str, Any]) -> Found:
    """Return the figure or fact that was written as plain data."""
    given = {name: value for name, value in row.items() if name not in ("kind", "holds")}
    if "unit" not in given:
        return Fact(**given, holds=row["holds"])
    return Figure(**{**given, "spread": tuple(given["spread"])})


def as_row(found: Found) -> dict[str, Any]:
    """Return a figure or a fact as plain data, with whether it holds."""
    return {**vars(found), "holds": found.holds}


def line(row: dict[str, Any]) -> str:
    """Return a row as a line of the table."""
    word = {True: "ok", False: "MISSED", None: ""}[row["holds"]]
    if "unit" not in row:
        return f"  {row['name']:58} {row['value']}  {word}".rstrip()
    low, high = row["spread"]
    target = "" if row["least"] is None else f"  target >= {row['least']:g}"
    target += "" if row["most"] is None else f"  target <= {row['most']:g}"
    expected = f"  (expected {row['expected']})" if row["expected"] else ""
    return (
        f"  {row['name']:58} {row['value']:10,.4g} {row['unit']:9} [{low:,.4g} - {high:,.4g}]{target}{expected}  {word}"
    ).rstrip()


def heading(check: dict[str, Any]) -> str:
    return f"{check['name']}: {check['what']}"


def table(document: dict[str, Any]) -> list[str]:
    """Return all that was found line by line: each check that has begun with its state and seconds, its rows below it;
    then what there is to say on all.
    """
    said = ["tiny and on a CPU: measures nothing"] if document["fake"] else []
    for one in document["checks"]:
        if one["state"] != "not begun":
            taken = f", {one['seconds']:g} s" if one["seconds"] else ""
            said += [f"{heading(one)} ({one['state']}{taken})", *map(line, one["rows"])]
    return said + summary(document)


def summary(document: dict[str, Any]) -> list[str]:
    """Return a line on all, and one on each target that was missed and each check that did not come to its end."""
    checks = document["checks"]
    states = {state: sum(one["state"] == state for one in checks) for state in STATES}
    rows = [(one["name"], row) for one in checks for row in one["rows"]]
    said = [", ".join(f"{number} {state}" for state, number in states.items() if number)]
    said += [f"missed, {name}:{line(row)}" for name, row in rows if row["holds"] is False]
    return said + [
        f"{one['state']}, {one['name']}" + (f": {one['why']}" if one["why"] else "")
        for one in checks
        if one["state"] != "done"
    ]


def write(document: dict[str, Any], target: Path) -> None:
    """Write a document, and beside it its table."""
    put(json.dumps(document, indent=1), target)
    put("\n".join(table(document)), target.with_suffix(".txt"))


def put(text: str, target: Path) -> None:
    """Put a text in the place of the one before it, so that whoever reads it finds one of the two whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f"{target.name}.tmp")
    with beside.open("w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, target)

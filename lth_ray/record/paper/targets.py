"""The papers' numbers: the data table targets.csv beside this file.

A line holds a study's group, the paper (`where`: page or figure, where it is known), the arm, method, kind of
subnetwork (`series`: dense, ticket, or a branch with its `parameters`), the quantity, what it is relative to, the
remaining weights ("0.21", or a range "0.675-0.176"), the rewind step, and the value with its unit. `mark` says where
the number is from: C the authors' code, D their raw data, P the paper, N third-party notes, R memory.
"""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any

FILE = "targets.csv"
UNCHECKED = {"N", "R"}
EPOCHS = re.compile(r"^epochs\((\d+(?:\.\d+)?)\)$")  # a rewind point
RANGE = re.compile(r"^(-?[\d.]+)-([\d.]+)$")  # "25-45", not "-38"


@dataclass(frozen=True)
class Target:
    """One number of a paper.

    remaining_weights: (least, greatest) share, or None where the paper gives none.
    rewind_step: as written.
    value: the number, or the middle of a range.
    low, high: what the relation ("", "<", "<=", ">", ">=") allows.
    comparable: whether our study does what the paper's did.
    """

    study: str
    paper: str
    where: str
    arm: str
    method: str
    series: str
    parameters: dict[str, str]
    quantity: str
    relative_to: str
    remaining_weights: tuple[float, float] | None
    rewind_step: str
    relation: str
    value: float
    low: float
    high: float
    unit: str
    spread: float | None
    mark: str
    comparable: bool = True

    def fits(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row is of the target's arm, method and rewind step, where it names them."""
        return (
            (not self.arm or fnmatchcase(row["arm"], self.arm))
            and (not self.method or row["method"] == self.method)
            and (not self.rewind_step or row["rewind_step"] == _in_steps(self.rewind_step, row))
        )

    def meets(self, least: float, greatest: float, rounded: float = 1.0) -> bool:
        """Return whether the value, or what its relation allows, lies between the two.

        Numbers that differ by less than the factor `rounded` are the same.
        """
        if self.relation in ("<", ">"):
            return least * rounded < self.value if self.relation == "<" else greatest > self.value * rounded
        return least <= self.high * rounded and self.low <= greatest * rounded

    @property
    def doubt(self) -> str:
        """The reason why nothing is concluded from the number; "" where something is.

        It is "unchecked", where the number was not taken from the paper, its code or its data, or "not
        comparable".
        """
        return "unchecked" if not self.is_checked else "" if self.comparable else "not comparable"

    @property
    def is_checked(self) -> bool:
        """True where the number was taken from the paper, its code or its data."""
        return not UNCHECKED & {mark.strip() for mark in self.mark.split(",")}

    @property
    def source(self) -> str:
        return f"{self.paper}{', ' + self.where if self.where else ''} [{self.mark}]"


@cache
def targets() -> tuple[Target, ...]:
    """Return every line of the table, in its order."""
    text = (files("lth_ray.record.paper") / FILE).read_text()
    return tuple(_target(line) for line in csv.DictReader(text.splitlines()))


def groups() -> list[str]:
    """Return the groups of studies that targets are known for."""
    return sorted({target.study for target in targets()})


def targets_of(group: str) -> list[Target]:
    """Return the targets of one group of studies, such as "lenet-mnist"; none for an unknown one."""
    return [target for target in targets() if target.study == group]


def group_of(name: str, against: str = "") -> str:
    """Return the group that a study is compared with: `against`, else its own name; "" where there is none.

    The name counts less the suffixes of --smoke and --set ("lenet-mnist-smoke" is "lenet-mnist").
    """
    known = groups()
    parts = (against or name).split("-")
    cuts = ("-".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((cut for cut in cuts if cut in known), "")


def _target(line: dict[str, str]) -> Target:
    low, high = _range(line["value"])
    value = (low + high) / 2
    if line["relation"].startswith("<"):
        low = float("-inf")
    if line["relation"].startswith(">"):
        high = float("inf")
    weights = line["remaining_weights"]
    parsed: dict[str, Any] = {
        "parameters": dict(part.split("=") for part in line["parameters"].split()),
        "remaining_weights": _range(weights) if weights else None,
        "spread": float(line["spread"]) if line["spread"] else None,
        "value": value,
        "low": low,
        "high": high,
    }
    return Target(**{**line, **parsed})


def _in_steps(written: str, row: Mapping[str, Any]) -> int | None:
    """Return a rewind point, "500" or "epochs(4)", in the row's own steps; None where those are not known."""
    found = EPOCHS.match(written)
    if found is None:
        return int(written)
    epoch = row.get("steps_per_epoch")
    return None if epoch is None else int(float(found[1]) * epoch)


def _range(text: str) -> tuple[float, float]:
    """Return (least, greatest)."""
    found = RANGE.match(text)
    ends = (float(found[1]), float(found[2])) if found else (float(text), float(text))
    return min(ends), max(ends)

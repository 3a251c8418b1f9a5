"""The subnetwork that a row is about, where a measurement hangs on it."""

import re
from collections.abc import Mapping
from typing import Any

COPY = re.compile(r"-\d+$")
MEASUREMENTS = ("barrier", "stability", "weights", "mask_overlap")  # branches that measure what they hang on


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
    path = str(row.get("branch") or "").split("/")
    hosts = path[:-1] if path[-1] in MEASUREMENTS else path
    return ", ".join(COPY.sub("", host) for host in hosts) or ("ticket" if row["round"] else "dense")


def measures(row: Mapping[str, Any], name: str) -> bool:
    """Return whether the row is a result of the measurement `name`."""
    return str(row.get("branch") or "").split("/")[-1] == name

"""Which subnetwork a row is about, where a measurement hangs on it."""

from collections.abc import Mapping
from typing import Any

MEASUREMENTS = ("barrier", "stability", "weights", "mask_overlap")  # branches that measure what they hang on


def subnetwork(row: Mapping[str, Any]) -> str:
    """ "dense", "ticket", or the branch's name: of the row itself, or of what its measurement hangs on.

    The path "random_mask-0/barrier" is about a "random_mask", "barrier" about a ticket (the dense network at round 0).
    """
    path = str(row.get("branch") or "").split("/")
    hosts = path[:-1] if path[-1] in MEASUREMENTS else path
    return hosts[-1].partition("-")[0] if hosts and hosts[-1] else "ticket" if row["round"] else "dense"


def measures(row: Mapping[str, Any], name: str) -> bool:
    """Whether the row is a result of the measurement `name`."""
    return str(row.get("branch") or "").split("/")[-1] == name

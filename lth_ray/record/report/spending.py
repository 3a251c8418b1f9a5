"""The cost of finished trainings and measurements to the machines that made them."""

from collections.abc import Iterable, Mapping
from typing import Any

Record = Mapping[str, Any]
SECONDS, HOURS = "training and evaluation, core-seconds", "training and evaluation, core-hours"
LONG_S = 10 * 3600.0  # from here on in hours


def core_seconds(records: Iterable[Record]) -> float:
    """Return seconds by processes by threads, over records of segments and tables.

    Of one that was interrupted, all of its parts count. Networks that were trained as one batch each recorded
    its whole time, which counts once.
    """
    found: dict[str, float] = {}
    for record in records:
        place, usage = record["environment"], record.get("usage")
        batch = repr(usage) if usage else record["key"]  # its members have the very same samples of the machine
        spent = record["seconds"] * place.get("world_size", 1) * place.get("threads", 1)
        found[batch] = max(found.get(batch, 0.0), spent)
    return sum(found.values())


def spent(records: Iterable[Record]) -> dict[str, str]:
    """Return {what: number} of that, for people."""
    seconds = core_seconds(records)
    if seconds >= LONG_S:
        return {HOURS: f"{seconds / 3600:,.1f}"}
    return {SECONDS: f"{seconds:,.0f}" if seconds >= 100 else f"{seconds:.1f}"}

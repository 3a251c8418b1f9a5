"""The environments in which results were made, as recorded with each, and what the results have cost there."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lth_ray.lottery.kept.records import Record
from lth_ray.lottery.kept.stored import finished
from lth_ray.printing import enumerated
from lth_ray.store import Store

VERSIONS = ("lth_ray", "torch")  # those that a caption names


@dataclass(frozen=True)
class Environment:
    """An environment of results.

    results: how many were made there.
    packages: ((name, version), ...)
    """

    results: int
    device: str
    instruction_set: str
    threads: int
    world_size: int
    python: str
    platform: str
    packages: tuple[tuple[str, str], ...]

    @property
    def words(self) -> str:
        """All but the device, in words."""
        processes = f"{self.world_size} processes of " if self.world_size > 1 else ""
        threads = f"{self.threads} thread{'s' if self.threads != 1 else ''}"
        named = ", ".join(f"{name} {version}" for name, version in self.packages)
        parts = [self.instruction_set, f"{processes}{threads}", f"Python {self.python} on {self.platform}", named]
        return "; ".join(filter(None, parts))


def environments(store: Store, keys: Iterable[str]) -> list[Environment]:
    """Return the environments of the results with these keys, the commonest first."""
    found: Counter[tuple[object, ...]] = Counter()
    for key in sorted(keys):
        record = finished(store, key)
        given = record.environment if record else {}
        found[
            str(given.get("device", "unknown")),
            str(given.get("instruction_set") or ""),
            int(given.get("threads", 1)),
            int(given.get("world_size", 1)),
            str(given.get("python", "unknown")),
            str(given.get("platform", "unknown")),
            tuple(sorted(given.get("packages", {}).items())),
        ] += 1
    return [Environment(count, *place) for place, count in found.most_common()]  # type: ignore[arg-type]


def versions(places: Sequence[Environment]) -> str:
    """Return "lth_ray 0.1.0, torch 2.11 or 2.14"."""
    found = {name: sorted({dict(place.packages).get(name, "unknown") for place in places}) for name in VERSIONS}
    return ", ".join(f"{name} {enumerated(known)}" for name, known in found.items())


SECONDS, HOURS = "training and evaluation, core-seconds", "training and evaluation, core-hours"
LONG_S = 10 * 3600.0  # from here on in hours


def core_seconds(records: Iterable[Record]) -> float:
    """Return seconds by processes by threads, over records of segments and tables.

    Of one that was interrupted, all of its parts count. Networks that were trained as one batch each recorded
    its whole time, which counts once.
    """
    found: dict[str, float] = {}
    for record in records:
        place, usage = record.environment, record.usage
        batch = repr(usage) if usage else record.key  # its members have the very same samples of the machine
        spent = record.seconds * place.get("world_size", 1) * place.get("threads", 1)
        found[batch] = max(found.get(batch, 0.0), spent)
    return sum(found.values())


def spent(records: Iterable[Record]) -> dict[str, str]:
    """Return {what: number} of that, for people."""
    seconds = core_seconds(records)
    if seconds >= LONG_S:
        return {HOURS: f"{seconds / 3600:,.1f}"}
    return {SECONDS: f"{seconds:,.0f}" if seconds >= 100 else f"{seconds:.1f}"}

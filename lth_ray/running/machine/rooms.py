"""Room in the cluster: what waits for it, and what a process that was lost still holds of it."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.placement_group import PlacementGroup, remove_placement_group

from lth_ray.printing import enumerated
from lth_ray.running.machine.unpublished import placement_groups

SOON_S = 5.0  # what Ray may take to give room that is there


@dataclass(frozen=True)
class Wait:
    """A wait for room.

    what: is waited for.
    since: seconds since the epoch.
    """

    what: str
    since: float

    @property
    def is_long(self) -> bool:
        """True where it is longer than Ray takes to give what is there."""
        return time.time() - self.since > SOON_S

    def __str__(self) -> str:
        return f"{self.what} since {time.strftime('%H:%M:%S', time.localtime(self.since))}"


def groups() -> list[Any]:
    """Return the placement groups of this run: of its driver, its trials and what they have started."""
    job = ray.get_runtime_context().get_job_id()
    return [one for one in placement_groups() if one.creator_job_id.hex() == job and one.state != one.REMOVED]


def release(found: list[Any]) -> int:
    """Remove those whose creator was lost; return how many.

    A trial's process starts Ray Train's, and that one asks for the workers' room. Ray itself frees it only when the
    driver ends, and on a cluster without room to spare the next attempt would wait for it for ever.
    """
    left_behind = [group for group in found if group.creator_actor_dead and not by_driver(group)]
    for group in left_behind:
        remove_placement_group(PlacementGroup(ray.PlacementGroupID(group.placement_group_id)))
    return len(left_behind)


def by_driver(group: Any) -> bool:
    """Return whether no actor has made it: Tune's own, for trials, which Ray marks as if their creator were
    dead.
    """
    return not group.creator_actor_id or ray.ActorID(group.creator_actor_id).is_nil()


def waits(found: list[Any], now: float | None = None) -> list[Wait]:
    """Return what of them waits for room."""
    now = time.time() if now is None else now
    asked = [(group, group.placement_group_creation_timestamp_ms / 1000) for group in found if _is_waiting(group)]
    return [Wait(described(group), since) for group, since in asked if now - since > SOON_S]


def _is_waiting(group: Any) -> bool:
    return group.state in (group.PENDING, group.PREPARED, group.RESCHEDULING)


def described(group: Any) -> str:
    """Return the bundles of a placement group."""
    bundles = Counter(tuple(sorted(bundle.unit_resources.items())) for bundle in group.bundles)
    return enumerated((asked_by(count, dict(bundle)) for bundle, count in bundles.items()), "and")


def asked_by(count: int, resources: Mapping[str, float]) -> str:
    """Return what so many processes ask for: "2 x {CPU: 1, GPU: 1}"."""
    each = ", ".join(f"{name}: {amount:g}" for name, amount in resources.items())
    return f"{count} x {{{each}}}"


def free() -> str:
    """Return what the cluster has and does not use, in words."""
    total, available = ray.cluster_resources(), ray.available_resources()
    names = [name for name in ("CPU", "GPU") if total.get(name)]
    return ", ".join(f"{available.get(name, 0):g} of {total[name]:g} {name}" for name in names) or "nothing at all"

"""Lines between the networks that a study trains anyway: successive rounds, rewind points, seeds."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from lth_ray.config import ConfigError, Connectivity
from lth_ray.lottery.branches.base import Asked, Host, Seed, check_same_network
from lth_ray.lottery.branches.connectivity import prunable_of
from lth_ray.lottery.derivation import Segment, Table
from lth_ray.lottery.rounds import Lineage


@dataclass(frozen=True)
class Other:
    """The network at the other end of a line, and the columns that say which it is."""

    segment: Segment
    told: dict[str, Any] = field(default_factory=dict)


def connectivity(host: Host, branch: Connectivity, seed: Seed) -> Iterator[Asked]:
    """Ask for the line to each of the networks that the branch names (Paul et al. 2023, section 3)."""
    if host.above and branch.to not in ("ticket", "dense"):
        raise ConfigError(
            f"Connectivity.to = {branch.to!r}: it hangs on another branch's result, {host.above!r}; give 'ticket' or "
            "'dense', or hang it on tickets"
        )
    segment = host.segment
    options = {"points": branch.points, "batch_norm": branch.batch_norm, "align": branch.align, **prunable_of(host)}
    start = None if segment.frozen or not segment.num_steps else segment.start
    for other in OTHERS[branch.to](host, branch):
        _check(host, branch, segment, host.number)
        _check(host, branch, other.segment, other.told.get("other_round", host.number))
        keys, ends = (segment.key, other.segment.key), (segment.end, other.segment.end)
        yield Asked((), Table("connectivity", segment.recipe, keys, ends, start, options), other.told)


def _previous(host: Host, branch: Connectivity) -> Iterator[Other]:
    if host.number:
        before = host.lineage.rounds[host.number - 1].segment
        yield Other(before, {"other_round": host.number - 1})
    elif branch.rounds is not None or not host.lineage.prune.num_rounds:
        raise ConfigError(
            "Connectivity.to = 'previous': no round comes before round 0, the dense network; give rounds from 1 on, or "
            "raise Prune.rounds"
        )


def _dense(host: Host, branch: Connectivity) -> Iterator[Other]:
    if host.segment.key != host.lineage.dense.key:
        yield Other(host.lineage.dense, {"other_round": 0})
    elif branch.rounds is not None:
        raise ConfigError("Connectivity.to = 'dense': round 0 is the dense network itself; give rounds from 1 on")


def _ticket(host: Host, branch: Connectivity) -> Iterator[Other]:
    if not host.above:
        raise ConfigError(
            "Connectivity.to = 'ticket': it hangs on tickets, and compares results of other branches with them; hang "
            "it on a branch, such as RandomReinit(branches=[...])"
        )
    ticket = host.lineage.rounds[host.number].segment
    if ticket.key != host.segment.key:
        yield Other(ticket)


def _rewind_points(host: Host, branch: Connectivity) -> Iterator[Other]:
    lineage, points = host.lineage, host.lineage.variant.study.rewind
    if len(points) == 1:
        raise ConfigError(
            "Connectivity.to = 'rewind_points': there is one rewind point alone; give Study.rewind more, or the branch "
            "to arms that have them"
        )
    asked, here = _asked_steps(lineage, branch), points.index(lineage.rewind)
    for place, rewind in enumerate(points):
        other = lineage.beside(rewind=rewind)
        is_mine = place > here or lineage.rewind_step not in asked  # which of the two measures the pair
        ticket = other.rounds[host.number].segment
        if place != here and other.rewind_step in asked and is_mine and ticket.key != host.segment.key:
            told = {"other_method": rewind.method} if rewind.method != lineage.rewind.method else {}
            yield Other(ticket, {"other_rewind_step": other.rewind_step, **told})


def _asked_steps(lineage: Lineage, branch: Connectivity) -> set[int]:
    """Return the rewind steps with whose tickets others are compared."""
    points = [rewind.point for rewind in lineage.variant.study.rewind]
    there = {lineage.recipe.steps(point) for point in points}
    if branch.rewind is None:
        return there
    for point in branch.rewind:
        if lineage.recipe.steps(point) not in there:
            raise ConfigError(
                f"Connectivity.rewind = {point}: the study has no such rewind point; it has "
                f"{', '.join(map(str, points))}"
            )
    return {lineage.recipe.steps(point) for point in branch.rewind}


def _seeds(host: Host, branch: Connectivity) -> Iterator[Other]:
    lineage = host.lineage
    seeds = lineage.variant.study.seeds
    for other in seeds[seeds.index(lineage.variant.seed) + 1 :]:
        yield Other(lineage.beside(seed=other).rounds[host.number].segment, {"other_seed": other})


OTHERS = {
    "previous": _previous,
    "dense": _dense,
    "ticket": _ticket,
    "rewind_points": _rewind_points,
    "seeds": _seeds,
}


def _check(host: Host, branch: Connectivity, segment: Segment, number: int) -> None:
    """Raise ConfigError for an end of a line that is no trained network of the host's shape."""
    what = f"Connectivity.to = {branch.to!r}"
    if not segment.num_steps:
        raise ConfigError(
            f"{what}: round {number} takes no step of training (Prune.at), and there is no line to it; give "
            "rounds=[...] that leave it out"
        )
    if segment.draw is not None:
        raise ConfigError(
            f"{what}: round {number} ends where its mask is drawn (Prune.at = EarlyBird(...)), before it is trained; "
            "give rounds=[...] that leave it out, or Prune.whole_dense = True"
        )
    check_same_network(host, segment, what)

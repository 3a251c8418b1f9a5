"""Connectivity and stability: copies of a ticket under different noise, and the line and distance between
them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from lth_ray.config import Barrier, ConfigError, Length, Stability
from lth_ray.lottery.branches.base import Asked, Host, Seed, check_same_network, copy_noise, copy_seed
from lth_ray.lottery.derivation import Segment, Table
from lth_ray.lottery.sources import Snapshot, StartSource


@dataclass(frozen=True)
class Child:
    """A copy in training.

    name: of its job; equal for whatever asks for the same copy.
    """

    name: str
    segment: Segment


def barrier(host: Host, branch: Barrier, seed: Seed) -> Iterable[Asked]:
    """Ask for a result for each pair of children (Frankle et al. 2020a, section 2)."""
    has_own = branch.initialisations == "own"
    family = _independent(host, branch.children) if has_own else spawn(host, "Barrier", branch.spawn, branch.children)
    options = {"points": branch.points, "batch_norm": branch.batch_norm, "align": branch.align, **prunable_of(host)}
    for pair in combinations(family, 2):
        trained = [child.segment for child in pair]
        table = Table(
            "line",
            host.segment.recipe,
            tuple(child.key for child in trained),
            tuple(child.end for child in trained),
            None if has_own else trained[0].start,
            options,
        )
        yield Asked(_trainings(pair), table, {**_parted(family), "pair": _pair(family, pair)})


def stability(host: Host, branch: Stability, seed: Seed) -> Iterator[Asked]:
    """Ask for distances to pruning, then to data order (Frankle et al. 2019, section 4)."""
    family, dense, ticket = spawn(host, "Stability", branch.spawn, branch.children), host.lineage.dense, host.segment
    recipe = ticket.recipe
    told = _parted(family)
    if ticket.mask is not None:
        check_same_network(host, dense, "Stability")
        table = Table("distance", recipe, (ticket.key, dense.key), (ticket.end, dense.end), ticket.start)
        yield Asked((), table, {**told, "compared": "pruning", "pair": "dense"})
    for pair in combinations(family, 2):
        trained = [child.segment for child in pair]
        keys, ends = tuple(child.key for child in trained), tuple(child.end for child in trained)
        table = Table("distance", recipe, keys, ends, trained[0].start, prunable_of(host))
        yield Asked(_trainings(pair), table, {**told, "compared": "order", "pair": _pair(family, pair)})


def _parted(family: list[Child]) -> dict[str, int]:
    """Return the column of the step at which copies part; {} where a draw will tell it, and the rows do then."""
    first = family[0].segment
    return {} if first.first_of else {"spawn_step": first.first}


def prunable_of(host: Host) -> dict[str, Any]:
    """Return options that let distances of dense copies cover the weights of a ticket's: those which may be
    pruned.
    """
    prune = host.lineage.prune
    is_narrower = host.segment.mask is None and (prune.include or prune.exclude)
    return {"prunable": {"include": list(prune.include), "exclude": list(prune.exclude)}} if is_narrower else {}


def spawn(host: Host, who: str, point: Length | None, count: int) -> list[Child]:
    """Return copies that part at `point` of the host's training in order and augmentation.

    By default that is its rewind point.
    """
    ticket, lineage = host.segment, host.lineage
    if point is not None:
        step = ticket.recipe.steps(point)
    else:
        step = lineage.rewind_step if ticket.key == lineage.dense.key else ticket.first
    if not ticket.num_steps:
        raise ConfigError(
            f"{who}: round {host.number} takes no step of training (Prune.at), and so do copies of it; give "
            f"{who}(rounds=...) without it"
        )
    if not ticket.first <= step <= ticket.last - (ticket.stretch is not None):  # whose end is not known
        where = "beyond the end" if step > ticket.last else "before the start"
        where = "where only its mask will tell whether it is within" if step == ticket.last else where
        raise ConfigError(
            f"{who}.spawn = {point}: step {step} lies {where} of the training of round {host.number}, steps "
            f"{ticket.first} to {ticket.last}; spawn within it"
        )
    start: StartSource = ticket.start if step == ticket.first else Snapshot(ticket.trajectory, step)
    if ticket.key == lineage.dense.key and step == lineage.rewind_step > 0:
        start = lineage.rewound  # with the optimizer's state where tickets are restored with it
    _check_drawn(host, who, point, step)
    # Pruned weights that are frozen stay what the ticket started with: a snapshot of it holds them too.
    at_draw = ticket.first_of if point is None else None
    copy = replace(ticket.settled, start=start, mask=host.mask, first=step, first_of=at_draw)
    return [Child(f"copies{step}/{i}", replace(copy, seeds=copy_noise(host.lineage, i))) for i in range(count)]


def _check_drawn(host: Host, who: str, point: Length | None, step: int) -> None:
    """Raise ConfigError for copies that would part before an early-bird draw, or end with one of their own."""
    ticket, latest = host.segment, host.lineage.pruned_step
    if ticket.draw is not None:
        raise ConfigError(
            f"{who}: round {host.number} ends where its mask is drawn (Prune.at = EarlyBird(...)), and copies of it "
            f"would end elsewhere; give {who}(rounds=[1]), or Prune.whole_dense = True"
        )
    if point is not None and ticket.first_of is not None and step <= latest:
        raise ConfigError(
            f"{who}.spawn = {point}: step {step} may lie before the draw (Prune.at = EarlyBird(...)) at which round "
            f"{host.number} begins, by step {latest}; leave it out, so that copies part at the draw, or give a later "
            "one and an EarlyBird.latest before it"
        )


def _independent(host: Host, count: int) -> list[Child]:
    """Return copies from initialisations of their own, trained from the first step."""
    lineage, found = host.lineage, []
    for i in range(count):
        whole = lineage.whole(lineage.initial(copy_seed(lineage, "init", i)), host.mask, host.segment.recipe)
        whole = replace(whole, seeds=copy_noise(lineage, i), stretch=host.segment.stretch)
        found.append(Child(f"own_copies/{i}", whole))
    return found


def _trainings(pair: Iterable[Child]) -> tuple[tuple[str, Segment], ...]:
    return tuple((child.name, child.segment) for child in pair)


def _pair(family: list[Child], pair: tuple[Child, ...]) -> str:
    return "-".join(str(family.index(child)) for child in pair)

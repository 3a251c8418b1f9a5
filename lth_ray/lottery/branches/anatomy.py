"""The anatomy of a ticket: measurements of its mask, its weights and where it ends, that take no training."""

from collections.abc import Iterator

from lth_ray.config import ConfigError, Curvature, MaskOverlap, SignFlips, Weights, meaning, subseed
from lth_ray.lottery.branches.base import Asked, Host, Seed, check_same_network
from lth_ray.lottery.branches.connectivity import prunable_of
from lth_ray.lottery.derivation import Table
from lth_ray.lottery.sources import Pruned, Snapshot


def weights(host: Host, branch: Weights, seed: Seed) -> Iterator[Asked]:
    """Measure surviving initial weights, and movement in the training that the mask was found by."""
    ticket = host.segment
    found_by = ticket.mask
    if not isinstance(found_by, Pruned):
        raise ConfigError("Weights: its mask was not found by training; hang it on tickets, not on another branch")
    if host.lineage.rewind.method == "scratch":
        raise ConfigError("Weights: method='scratch' draws new initial weights every round; hang it on other methods")
    before = host.lineage.found_by(host.number)
    keys, initial = (ticket.key, before.key), host.lineage.dense.start
    pruned = before.end if found_by.step is None else Snapshot(found_by.trajectory, found_by.step)
    yield Asked((), Table("weights", ticket.recipe, keys, (pruned,), initial, {"bins": branch.bins}))


def sign_flips(host: Host, branch: SignFlips, seed: Seed) -> Iterator[Asked]:
    """Count the kept weights whose signs the host's training flips, and of a ticket those since initialisation."""
    segment, lineage = host.segment, host.lineage
    if not segment.num_steps:
        raise ConfigError(
            f"SignFlips: round {host.number} takes no step of training (Prune.at), which could flip a sign; give "
            "SignFlips(rounds=...) without it"
        )
    begins = () if host.above or lineage.rewind.method == "scratch" else (lineage.origin,)
    states = (segment.end, *begins)
    yield Asked((), Table("signs", segment.recipe, (segment.key,), states, segment.start, prunable_of(host)))


def mask_overlap(host: Host, branch: MaskOverlap, seed: Seed) -> Iterator[Asked]:
    """Compare the ticket's mask with that of every later seed of the study at this round."""
    seeds = host.lineage.variant.study.seeds
    for other in seeds[seeds.index(host.lineage.variant.seed) + 1 :]:
        lineage = host.lineage.beside(seed=other)
        theirs = lineage.rounds[host.number].segment
        check_same_network(host, theirs, "MaskOverlap")
        keys = host.segment.key, theirs.key
        yield Asked((), Table("overlap", host.segment.recipe, keys), {"other_seed": other})


def curvature(host: Host, branch: Curvature, seed: Seed) -> Iterator[Asked]:
    """Measure the Hessian where the host's training ended; all of a seed's networks on the same examples."""
    lineage, segment = host.lineage, host.segment
    drawn = {"order": lineage.seeds.order, "seed": subseed(lineage.variant.seed, "curvature")}
    options = {**meaning(branch), **drawn, **prunable_of(host)}
    yield Asked((), Table("curvature", segment.recipe, (segment.key,), (segment.end,), None, options))

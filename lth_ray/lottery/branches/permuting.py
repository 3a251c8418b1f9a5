"""A ticket's mask on another initialisation, its units in the order of the network that this becomes."""

from collections.abc import Iterator
from dataclasses import replace

from lth_ray.config import ConfigError, PermutedMask
from lth_ray.lottery.branches.base import Asked, Host, Seed, copy_noise, copy_seed
from lth_ray.lottery.derivation import Segment
from lth_ray.lottery.patterned import Permuted
from lth_ray.lottery.rounds import Lineage
from lth_ray.lottery.sources import Copied


def permuted_mask(host: Host, branch: PermutedMask, seed: Seed) -> Iterator[Asked]:
    """Train the ticket's mask, permuted, from the rewind point of another initialisation (Adnan et al. 2025)."""
    lineage = host.lineage
    check_dense(lineage, "PermutedMask")
    given = lineage.dense
    for index in range(branch.copies):
        other = _other(lineage, index)
        mask: Permuted | Copied = Copied(host.segment.key)
        if branch.match != "none":
            compared = branch.examples if branch.match == "activations" else 0
            found, its_own = ((one.trajectory, one.last) for one in (given, other))
            seed_of_match = copy_seed(lineage, "match", index)
            mask = Permuted(host.segment.key, branch.match, found, its_own, compared, seed_of_match)
        ticket = replace(lineage.retraining(lineage.rewound_of(other), mask), seeds=other.seeds)
        yield Asked(((f"own_copies/{index}", other), ("", ticket)))


def _other(lineage: Lineage, index: int) -> Segment:
    """Return the dense training from another initialisation, under an order and augmentation of its own."""
    initial = lineage.initial(copy_seed(lineage, "init", index))
    return replace(lineage.dense, start=initial, seeds=copy_noise(lineage, index))


def check_dense(lineage: Lineage, who: str) -> None:
    """Raise ConfigError for a study whose dense network has no other of its kind."""
    for wrong, what in (
        (lineage.dense.mask is not None, "Study.ticket: round 0 trains a ticket, and there is no dense network"),
        (lineage.rewind.pretraining is not None, "Rewind.pretraining: the other network has none"),
        (lineage.dense.draw is not None, "Prune.at = EarlyBird(...): the dense network ends where it draws"),
        (lineage.dense.last == 0, "Prune.at: the dense network is not trained"),
    ):
        if wrong:
            raise ConfigError(f"{who} with {what}, to be matched with another; leave one of them out")

"""Controls: a ticket with its weights or its mask replaced by random ones."""

from dataclasses import replace

from lth_ray.config import RandomMask, RandomReinit, ShuffledMask
from lth_ray.lottery.branches.base import Host
from lth_ray.lottery.derivation import Segment
from lth_ray.lottery.sources import Copied, Redrawn


def random_reinit(host: Host, branch: RandomReinit, seed: int) -> Segment:
    """Train the ticket's mask on newly drawn initial weights (Frankle & Carbin 2019, section 2)."""
    lineage = host.lineage
    train = lineage.retraining if branch.length == "ticket" else lineage.whole
    return train(lineage.initial(seed), Copied(host.segment.key))


def random_mask(host: Host, branch: RandomMask, seed: int) -> Segment:
    """Train the ticket's start under a uniformly drawn mask with the same number of weights in each layer."""
    return replace(host.segment.settled, mask=Redrawn(host.segment.key, "random", seed))


def shuffled_mask(host: Host, branch: ShuffledMask, seed: int) -> Segment:
    """Train the ticket's start under its own mask, permuted."""
    return replace(host.segment.settled, mask=Redrawn(host.segment.key, branch.scope, seed))

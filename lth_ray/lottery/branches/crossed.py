"""Masks and weights crossed: the ticket's start under the masks of the study's other seeds."""

from collections.abc import Iterator
from dataclasses import replace

from lth_ray.config import ConfigError, CrossedMask, subseed
from lth_ray.lottery.branches.base import Asked, Host, Seed
from lth_ray.lottery.branches.permuting import check_dense
from lth_ray.lottery.patterned import Permuted
from lth_ray.lottery.sources import Copied


def crossed_mask(host: Host, branch: CrossedMask, seed: Seed) -> Iterator[Asked]:
    """Train the ticket's start under the mask of each other seed's ticket."""
    lineage, own = host.lineage, host.lineage.variant.seed
    if host.above:
        raise ConfigError(
            f"CrossedMask: it exchanges the masks of tickets, and hangs on another branch's result, {host.above!r}; "
            "hang it on tickets"
        )
    if branch.match != "none":
        check_dense(lineage, "CrossedMask")
    for other in (one for one in lineage.variant.study.seeds if one != own):
        theirs = lineage.beside(seed=other)
        of = theirs.rounds[host.number].segment.key
        mask: Permuted | Copied = Copied(of)
        if branch.match != "none":
            compared = branch.examples if branch.match == "activations" else 0
            given, here = ((one.trajectory, one.last) for one in (theirs.dense, lineage.dense))
            mask = Permuted(of, branch.match, given, here, compared, subseed(own, "crossed", other))
        yield Asked((("", replace(host.segment.settled, mask=mask)),))

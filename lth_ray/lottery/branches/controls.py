"""Controls: a ticket with its weights or its mask replaced by random ones."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from lth_ray import pruning
from lth_ray.config import ConfigError, Cyclic, RandomMask, RandomReinit, Rescored, ShuffledMask, meaning
from lth_ray.lottery.branches.base import Asked, Host, Seed
from lth_ray.lottery.derivation import Segment
from lth_ray.lottery.patterned import Patterned, Redrawn
from lth_ray.lottery.sources import Copied, Pruned, weights_of


def random_reinit(host: Host, branch: RandomReinit, seed: int) -> Segment:
    """Train the ticket's mask on newly drawn initial weights (Frankle & Carbin 2019, section 2)."""
    lineage, ticket = host.lineage, host.segment
    if ticket.stretch is not None:  # as long as what it is compared with
        return replace(ticket.settled, start=lineage.initial(seed), mask=Copied(ticket.key))
    train = lineage.retraining if branch.length == "ticket" else lineage.whole
    return train(lineage.initial(seed), Copied(ticket.key))


def random_mask(host: Host, branch: RandomMask, seed: int) -> Segment:
    """Train the ticket's start under a uniformly drawn mask with the same number of weights in each layer."""
    return replace(host.segment.settled, mask=_redrawn(host, "random", seed))


def shuffled_mask(host: Host, branch: ShuffledMask, seed: int) -> Segment:
    """Train the ticket's start under its own mask, permuted."""
    if branch.scope == "filter" and _rule_of_units(host) is not None:
        raise ConfigError(
            "ShuffledMask.scope = 'filter': whole units of a structured ticket are exchanged, and one has no order "
            "within itself; give 'layer' or 'global'"
        )
    return replace(host.segment.settled, mask=_redrawn(host, branch.scope, seed))


def _redrawn(host: Host, scope: str, seed: int) -> Redrawn:
    """Return a random mask of the host's; of a structured ticket a random choice of units."""
    return Redrawn(host.segment.key, scope, seed, _rule_of_units(host))


def _rule_of_units(host: Host) -> Mapping[str, Any] | None:
    """Return the rule by which the host's mask is one of whole units; None where it is of single weights."""
    mask, lineage = host.segment.mask, host.lineage
    if isinstance(mask, Patterned):  # of another network, and by its pattern in place of the study's rule
        return {"structure": "channels", "include": [], "exclude": []} if mask.pattern == "channels" else None
    return lineage.rule if lineage.prune.structure else None


def cyclic(host: Host, branch: Cyclic, seed: Seed) -> Iterable[Asked]:
    """Train the ticket's mask and rewind weights for several cycles of the schedule (Gadhikar et al. 2024)."""
    lineage, number = host.lineage, branch.cycles or host.number + 1
    whole = lineage.whole(weights_of(host.segment.settled.start), host.mask, lineage.recipe.repeated(number))
    yield Asked((("", replace(whole, frozen=host.segment.frozen)),), told={"cycles": number})


def rescored(host: Host, branch: Rescored, seed: int) -> Segment:
    """Return the ticket's start under the mask of other scores (Su et al. 2020; Frankle et al. 2021)."""
    mask, prune = host.segment.mask, host.lineage.prune
    if not isinstance(mask, Pruned):
        raise ConfigError(
            "Rescored: it finds a mask by the scores of a pruning rule, and a copied or random mask has none; hang it "
            "on tickets"
        )
    scoring = branch.scoring(prune.scoring)
    if scoring != prune.scoring and mask.order is None and scoring.invert == prune.scoring.invert:
        raise ConfigError(
            f"Rescored.changes = {dict(branch.changes)}: the criterion {prune.criterion!r} looks at no examples; give "
            "invert, or another criterion"
        )
    pruning.check_sample(host.lineage.recipe.task, host.lineage.recipe.identity, scoring)
    rule = {name: value for name, value in mask.rule.items() if name != "scoring"}
    rule |= {"scoring": meaning(scoring)} if meaning(scoring) else {}
    drawn = seed if scoring.data.startswith("random") else mask.seed
    return replace(host.segment, mask=replace(mask, rule=rule, seed=drawn))

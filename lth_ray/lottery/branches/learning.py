"""Supermasks: the mask is trained and the weights are not."""

from dataclasses import fields, replace

from lth_ray.config import ConfigError, Supermask, SupermaskRule, block_bits, field_table, no_field, subseed
from lth_ray.lottery.branches.base import Host
from lth_ray.lottery.derivation import Learned, Segment
from lth_ray.lottery.sources import weights_of


def supermask(host: Host, branch: Supermask, seed: int) -> Segment:
    """Learn scores over the ticket's start (Zhou et al. 2019, section 5; Ramanujan et al. 2020)."""
    lineage, ticket = host.lineage, host.segment
    known = field_table(type(lineage.recipe.train))
    for name in branch.train.keys() - known.keys():
        raise ConfigError(f"Supermask.train: {no_field(type(lineage.recipe.train), name)}")
    if lineage.recipe.train.is_averaged:
        raise ConfigError(
            "Supermask: its scores are not averaged; leave Train.ema_decay and Train.average_from out of its study"
        )
    recipe = lineage.on(lineage.recipe.data, **branch.train)
    if recipe.train.is_averaged:
        name = "average_from" if recipe.train.ema_decay is None else "ema_decay"
        raise ConfigError(
            f"Supermask.train[{name!r}] = {getattr(recipe.train, name)}: its scores are not averaged; leave it out"
        )
    if block_bits(recipe.train.precision) is not None:
        raise ConfigError(
            f"Supermask: its scores are no numbers in block floating point, {recipe.train.precision!r}; give "
            "Supermask(train={'precision': 'fp32'})"
        )
    rule = SupermaskRule(**{f.name: getattr(branch, f.name) for f in fields(SupermaskRule)})
    prunable = {"include": list(lineage.prune.include), "exclude": list(lineage.prune.exclude)}
    start = lineage.rewound if ticket.key == lineage.dense.key else ticket.start
    seeds = replace(lineage.seeds, dropout=subseed(seed, "dropout"))  # which masks are drawn, too
    whole = lineage.whole(weights_of(start), host.mask, recipe)
    return replace(whole, seeds=seeds, learned=Learned(rule, prunable, seed))

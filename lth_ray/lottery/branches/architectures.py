"""Architectures: a ticket's own trained from scratch, and other networks made by the pattern of its mask."""

from dataclasses import replace

from lth_ray import models
from lth_ray.config import ConfigError, Guided, Scratch
from lth_ray.lottery.branches.base import Host
from lth_ray.lottery.branches.perturbing import check_same_metric
from lth_ray.lottery.derivation import Segment, Stretch
from lth_ray.lottery.origins import Init
from lth_ray.lottery.patterned import Patterned
from lth_ray.lottery.sources import Copied, Small


def scratch(host: Host, branch: Scratch, seed: int) -> Segment:
    """Train the ticket's architecture from scratch, for the dense network's epochs or its operations."""
    lineage = host.lineage
    initial = lineage.initial(seed)
    start = initial if branch.initialisation == "full" else _small("Scratch.initialisation = 'small'", initial)
    segment = lineage.whole(start, Copied(host.segment.key))
    if branch.budget == "epochs":
        return segment
    most = None if branch.at_most is None else lineage.recipe.steps(branch.at_most)
    if most is not None and most < segment.last:
        raise ConfigError(
            f"Scratch.at_most = {branch.at_most}: the dense network is trained for {segment.recipe.train.length}; "
            "give that or more"
        )
    return replace(segment, stretch=Stretch(host.segment.key, most))


def guided(host: Host, branch: Guided, seed: int) -> Segment:
    """Train another network, pruned by the pattern of the ticket's mask (Liu et al. 2019, section 5)."""
    lineage, given = host.lineage, host.segment.recipe
    on = lineage.on(branch.data(lineage.recipe.data))
    check_same_metric("Guided.changes", given, on)
    recipe = on if branch.model is None else replace(on, model=branch.model)
    mask = Patterned(host.segment.key, branch.pattern, branch.uniform, seed, given.model, given.identity)
    start = _small("Guided", Init(recipe.model, recipe.identity.digest, seed))
    return Segment(recipe, start, mask, lineage.seeds, 0, recipe.total_steps)


def _small(what: str, initial: Init) -> Small:
    """Return the weights that a smaller network would draw; raise ConfigError where none follow from the full one's."""
    try:
        models.check_scaled(models.initialisation_of(initial.model.name, initial.model.init))
    except ConfigError as error:
        raise ConfigError(f"{what}: {error}") from None
    return Small(initial)

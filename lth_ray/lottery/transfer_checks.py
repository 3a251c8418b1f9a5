"""Checks of what tickets are carried to: that data and network are such that their layers take them over."""

import json
from collections.abc import Iterable

from lth_ray.config import ConfigError, meaning
from lth_ray.lottery.branch_tree import BranchResult
from lth_ray.lottery.execution.networks import build
from lth_ray.lottery.execution.stretched import carried
from lth_ray.lottery.stretched import Network, Stretched
from lth_ray.lottery.trying import try_network


def check_transfers(branches: Iterable[BranchResult]) -> None:
    """Raise ConfigError for data or a network that a ticket cannot be carried to (Transfer), naming the layer."""
    seen = set[str]()
    for result in (one for one in branches if one.path.rpartition("/")[2] == "transfer"):
        recipe, mask = result.segment.recipe, result.segment.mask
        given = result.lineage.recipe
        of = mask.network if isinstance(mask, Stretched) else Network(given.model, given.identity)
        output = mask.output if isinstance(mask, Stretched) else True
        networks = (of.model, of.identity), (recipe.model, recipe.identity)
        asked = [[meaning(model), one.input_shape, one.num_classes] for model, one in networks]
        name = json.dumps([*asked, output])
        if name in seen or (asked[0] == asked[1] and output):  # the ticket's own network, checked as such
            continue
        seen.add(name)
        try:
            network = build(recipe)
            try_network(network, recipe)
            carried(network, recipe, of, output)
        except ConfigError as error:
            raise ConfigError(f"Transfer.changes = {result.parameters['changes']}: {error}") from error

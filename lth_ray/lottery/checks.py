"""What can be known to be wrong with a lineage's network and pruning rule before anything is trained."""

import json
from collections import defaultdict
from collections.abc import Iterable

from lth_ray import pruning
from lth_ray.config import meaning
from lth_ray.lottery.realise import build, eligible
from lth_ray.lottery.rounds import Lineage


def check_networks(lineages: Iterable[Lineage]) -> None:
    """Builds each distinct network once and tries every pruning rule's globs and fractions on it.

    Raises ConfigError for an unknown model or option, and for globs that fit no parameter.
    """
    networks: dict[str, dict[str, Lineage]] = defaultdict(dict)
    for lineage in lineages:
        model = json.dumps(meaning(lineage.recipe.model), sort_keys=True)
        rule = json.dumps(lineage.rule, sort_keys=True)
        identity = lineage.recipe.identity
        networks[f"{model} {identity.input_shape} {identity.num_classes}"].setdefault(rule, lineage)
    for rules in networks.values():
        network = build(next(iter(rules.values())).recipe, seed=0)
        for lineage in rules.values():
            mask = eligible(network, lineage.rule)
            pruning.one_shot_counts(mask, lineage.prune.fraction, lineage.prune.scope, rounds=1)

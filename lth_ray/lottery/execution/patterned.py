"""Masks of other networks by the pattern of a ticket's (config.Guided)."""

import json

from lth_ray import models
from lth_ray.config import ConfigError, meaning
from lth_ray.lottery.execution.networks import build
from lth_ray.lottery.execution.smaller import whole_units
from lth_ray.lottery.patterned import Patterned
from lth_ray.models import UnitLayer
from lth_ray.pruning import Mask
from lth_ray.pruning.structured.patterns import (
    Stage,
    guided_channels,
    guided_positions,
    shares_of_channels,
    shares_of_positions,
    stages_of,
)
from lth_ray.training import Recipe


def patterned_mask(source: Patterned, base: Mask, recipe: Recipe) -> Mask:
    """Return the mask of a recipe's network by the pattern of `base`, the mask that segment `source.of` has."""
    of, network = given_recipe(source, recipe), build(recipe)
    if source.pattern == "channels":
        shares = shares_of_channels(whole_units(build(of), base, of), _channels(of), source.uniform)
        return guided_channels(shares, _channels(recipe), dict(network.named_parameters()))
    pattern = shares_of_positions(base, _sizes(of), source.uniform)
    return guided_positions(pattern, network, _sizes(recipe), source.seed)


def check_patterned(source: Patterned, recipe: Recipe) -> None:
    """Raise ConfigError where a pattern has not as many stages as the network that is to follow it."""
    of = given_recipe(source, recipe)
    ours, theirs = (stages_of(_sizes(one)) for one in (recipe, of))
    if len(ours) != len(theirs):
        raise ConfigError(
            f"Guided.model = {recipe.model.name!r}: the network has {len(ours)} stages, and that of the ticket "
            f"{len(theirs)}: stages correspond in their order; give a network of as many"
        )


def given_recipe(source: Patterned, recipe: Recipe) -> Recipe:
    """Return a recipe with the network that the pattern is of."""
    return Recipe(source.model, recipe.data, recipe.train, source.identity)


def _channels(recipe: Recipe) -> tuple[UnitLayer, ...]:
    return models.unit_layers(build(recipe), recipe.task.example(recipe.identity), "channels")


def _sizes(recipe: Recipe) -> dict[str, Stage]:
    """Return the sizes of the images that a network's convolutions put out, once a process for each."""
    name = json.dumps([meaning(recipe.model), recipe.identity.input_shape, recipe.identity.num_classes])
    if name not in _SIZES:
        _SIZES[name] = models.image_sizes(build(recipe), recipe.task.example(recipe.identity))
    return _SIZES[name]


_SIZES: dict[str, dict[str, Stage]] = {}

"""Masks and weights carried to another network of the ticket's family, or to another output layer (config.Transfer)."""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor, nn

from lth_ray import models, pruning
from lth_ray.lottery.execution.networks import build_without_averages
from lth_ray.lottery.stretched import Network, Stretched
from lth_ray.models.stretching import corresponding, stretched
from lth_ray.pruning import Mask
from lth_ray.training import Recipe


def stretched_mask(source: Stretched, base: Mask, recipe: Recipe) -> Mask:
    """Return the mask that a recipe's network takes over from `base`, that of segment `source.of`.

    An output layer that is left out is dense, but for the inputs that a mask of whole units leaves none of its outputs.
    """
    network = build_without_averages(recipe)
    pairs = carried(network, recipe, source.network, source.output)
    base, found = models.under_own_names(base, models.tied(network)), {}
    for name, value in network.named_parameters():
        keeps = base.get(pairs.get(name, name))
        if keeps is not None and name in pairs:
            found[name] = stretched(keeps, value.shape)
        elif keeps is not None and source.shuffle is None and value.dim() > 1 and bool((keeps == keeps[:1]).all()):
            found[name] = stretched(keeps[:1], value.shape)  # not permuted, by which weights of it would be pruned
    return found if source.shuffle is None else pruning.shuffled_mask(found, source.shuffle, "global")


def taken_over(given: Mapping[str, Tensor], recipe: Recipe, of: Network, output: bool) -> dict[str, Tensor]:
    """Return the tensors of a state of the network `of` that a recipe's network begins with: those of its shapes."""
    network = build_without_averages(recipe)
    pairs, own = carried(network, recipe, of, output), network.state_dict()
    found = {name: given[pairs[name]] for name in own if name in pairs and pairs[name] in given}
    return {name: value for name, value in found.items() if value.shape == own[name].shape}


def carried(network: nn.Module, recipe: Recipe, of: Network, output: bool) -> dict[str, str]:
    """Return {tensor of a recipe's network: tensor of the network `of`} that it takes over.

    output: False where the output layer is left out, as it is for other classes. Raises ConfigError for a layer that
    can take over nothing.
    """
    given = _recipe(recipe, of)
    theirs, ours = _shapes(build_without_averages(given)), _shapes(network)
    same = given.identity.num_classes == recipe.identity.num_classes
    apart = () if output and same else _of_classes(given, theirs) | _of_classes(recipe, ours)
    return corresponding(theirs, ours, apart)


def _recipe(recipe: Recipe, of: Network) -> Recipe:
    return Recipe(of.model, recipe.data, recipe.train, of.identity)


def _shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def _of_classes(recipe: Recipe, shapes: Mapping[str, tuple[int, ...]]) -> set[str]:
    """Return the tensors of the output layer: those whose shape depends on the number of classes."""
    identity = recipe.identity
    more = replace(recipe, identity=replace(identity, num_classes=identity.num_classes + 1))
    others = _shapes(build_without_averages(more))
    return {name for name, shape in shapes.items() if others.get(name) != shape}

"""Masks whose units have the order of another network's (config.PermutedMask)."""

from collections.abc import Iterator
from itertools import chain

import torch

from lth_ray.lottery.execution.networks import build
from lth_ray.lottery.execution.reading import stored_state
from lth_ray.lottery.patterned import Permuted
from lth_ray.models import Coupling, coupled
from lth_ray.pruning import Mask
from lth_ray.store import Store
from lth_ray.tasks.base import Batch, Loaded
from lth_ray.training import Recipe

PASSES = 100  # over the groups of units that are matched by weights, at most


def permuted_mask(source: Permuted, base: Mask, recipe: Recipe, store: Store, dataset: Loaded) -> Mask:
    """Return `base` with its units where their like are in the other network."""
    from lth_ray.analysis.activations import match_activations  # scipy, which other trainings do not wait for
    from lth_ray.analysis.alignment import match

    model = build(recipe)
    coupling = coupled(model, recipe.task.example(recipe.identity))
    given, other = (stored_state(store, *at).model for at in (source.given, source.other))
    if source.match == "weights":
        weights = {name: other[name] for name, _ in model.named_parameters()}
        orders = match(coupling, weights, given, source.seed, PASSES)
    else:
        examples = _first(recipe, dataset, source.examples)
        first = next(examples)
        model.to(first[0].device)
        orders = match_activations(model, coupling, other, given, chain([first], examples), recipe.task.caller)
    return in_order(base, coupling, orders)


def in_order(mask: Mask, coupling: Coupling, orders: list[torch.Tensor]) -> Mask:
    """Return a mask with its units in another order.

    orders: for each group the unit that comes to each place.
    """
    from lth_ray.analysis.alignment import reorder

    return {
        name: reorder(keeps, coupling.places(name), orders) if name in coupling.units else keeps
        for name, keeps in mask.items()
    }


def _first(recipe: Recipe, dataset: Loaded, number: int) -> Iterator[Batch]:
    """Yield so many training examples, the first ones, as evaluations see them."""
    for batch in recipe.task.examples(dataset, recipe.task.measured(dataset.train)):
        yield tuple(one[:number] for one in batch)
        number -= len(batch[0])
        if number <= 0:
            return

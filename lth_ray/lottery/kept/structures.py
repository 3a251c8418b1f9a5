"""The structures of a study's networks, as its record says them: what trains a network depends on it, and so do keys,
and a study is read again where its own networks are not at hand.
"""

from collections.abc import Iterable, Mapping

from lth_ray.config import Model, TaskConfig, Train
from lth_ray.data import Identity
from lth_ray.models.structure import OTHER, known_by_name, name_of
from lth_ray.training import Recipe

Structures = Mapping[str, str]  # {name of a network and its examples: one of lth_ray.models.structure}


def recipe_of(
    model: Model, data: TaskConfig, train: Train, identity: Identity, structures: Structures | None
) -> Recipe:
    """Return a recipe whose network is read by itself or, where there are any, by what `structures` say of it.

    They say nothing of networks that earlier versions trained whatever they were made of.
    """
    if structures is None or known_by_name(model):
        return Recipe(model, data, train, identity)
    return Recipe(model, data, train, identity, structures.get(_name(model, identity), OTHER))


def structures_of(recipes: Iterable[Recipe]) -> dict[str, str]:
    """Return what the networks of some recipes are made of, for a record: of those that have been asked after."""
    every = {id(recipe): recipe for recipe in recipes}.values()
    asked = (one for one in every if "structure" in vars(one) and not known_by_name(one.model))
    return {_name(recipe.model, recipe.identity): recipe.structure for recipe in asked}


def _name(model: Model, identity: Identity) -> str:
    return name_of(model, identity.input_shape, identity.num_classes)

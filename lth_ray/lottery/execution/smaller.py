"""The smaller network that a mask leaves: its operations, how long it is trained, and its own initial weights."""

import torch

from lth_ray import models
from lth_ray.config import ConfigError
from lth_ray.lottery.derivation import Segment
from lth_ray.lottery.execution.networks import build
from lth_ray.lottery.execution.reading import MissingState, recorded_mask
from lth_ray.lottery.execution.scoring import uses
from lth_ray.models.flops import forward_flops
from lth_ray.pruning import Mask
from lth_ray.pruning.structured import without_dead_units
from lth_ray.store import Store
from lth_ray.training import Recipe


def whole_units(model: torch.nn.Module, mask: Mask, recipe: Recipe) -> Mask:
    """Return a mask without what belongs to units of which it leaves nothing that makes them, and without what reads
    nothing but zeros, such as the inputs of the layer behind a channel that is pruned by its scale. A network whose
    units cannot be told is left as it is.
    """
    example = recipe.task.example(recipe.identity)
    try:
        layers = models.unit_layers(model, example)
    except ConfigError:
        return mask
    found = without_dead_units(mask, layers, dict(model.named_parameters()))
    return models.without_dead_inputs(model, found, example)


def stretched_end(segment: Segment, store: Store) -> int:
    """Return the last step of a training that lasts as long as the dense network's operations do."""
    assert segment.stretch is not None
    mask = recorded_mask(store, segment.stretch.by)
    if mask is None:
        raise MissingState(f"{store.uri}: segment {segment.stretch.by} has no mask; run the study again")
    last = end_by_operations(segment, build(segment.recipe), mask)
    if last is None:
        raise MissingState(f"segment {segment.stretch.by}: no weight is left that an example uses, and none to train")
    return last


def end_by_operations(segment: Segment, model: torch.nn.Module, mask: Mask) -> int | None:
    """Return the last step of a stretched training under a mask; None where it leaves no operation."""
    assert segment.stretch is not None
    recipe = segment.recipe
    dense = forward_flops(model, uses(recipe))
    small = forward_flops(model, uses(recipe), whole_units(model, mask, recipe))
    if not small:
        return None
    return max(recipe.total_steps, recipe.stretched(dense / small, segment.stretch.at_most))


def small_start(state: dict[str, torch.Tensor], mask: Mask, recipe: Recipe) -> dict[str, torch.Tensor]:
    """Return newly drawn weights as the small network would have drawn its own."""
    model = build(recipe)
    init = models.initialisation_of(recipe.model.name, recipe.model.init)
    return models.small_initial(model, state, whole_units(model, mask, recipe), init)

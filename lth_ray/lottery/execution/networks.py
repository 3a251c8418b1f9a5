"""Networks of a recipe or a segment, and the masks and state dicts that fit them. Nothing is read here."""

from collections.abc import Mapping
from typing import Any

import torch

from lth_ray import models, pruning
from lth_ray.config import ConfigError, called
from lth_ray.lottery.derivation import Segment
from lth_ray.pruning import Mask
from lth_ray.training import Recipe, Supermask, averages


def build(recipe: Recipe, seed: int | None = None) -> torch.nn.Module:
    """Return the recipe's network, initialised under `seed` (None: whatever weights)."""
    network = build_without_averages(recipe, seed)
    if recipe.train.is_averaged:
        averages.attach(network, over_epochs=recipe.train.average_from is not None)
    return network


def build_without_averages(recipe: Recipe, seed: int | None = None) -> torch.nn.Module:
    model, data = recipe.model, recipe.identity
    init = "default" if seed is None and callable(model.init) else model.init  # which may take long, and for nothing
    return models.build(
        model.name,
        data.num_classes,
        input_shape=data.input_shape,
        init=init,
        seed=seed,
        vocabulary=data.vocabulary,
        **called(model.options),
    )


def eligible(model: torch.nn.Module, rule: Mapping[str, Any]) -> Mask:
    """Return the all-ones mask over what a pruning rule ("include" and "exclude" globs) ranks: weights or, for
    "bn_scale", scales of channels.
    """
    if rule.get("criterion") == pruning.BN_SCALE:
        return pruning.dense_mask(model, _scales_to_rank(model, rule))
    names = pruning.select(
        models.prunable(model), rule["include"], rule["exclude"], [name for name, _ in model.named_parameters()]
    )
    return pruning.dense_mask(model, names)


def _scales_to_rank(model: torch.nn.Module, rule: Mapping[str, Any]) -> list[str]:
    scales = list(models.scale_parameters(model))
    if not scales:
        raise ConfigError(
            f"Prune.criterion = {rule['criterion']!r}: the network has no batch norm, whose scales it ranks; "
            "use another criterion, such as 'magnitude'"
        )
    return pruning.select(scales, rule["include"], rule["exclude"], scales)


def network(segment: Segment, mask: Mask | None) -> torch.nn.Module:
    """Return what a segment trains, with whatever weights: the recipe's network, or the scores of a mask over
    it.
    """
    model = build(segment.recipe)
    if segment.learned is None:
        return model
    covered = mask or eligible(model, segment.learned.prunable)
    return Supermask(model, covered, segment.learned.rule)


def network_of(model: torch.nn.Module) -> torch.nn.Module:
    """Return the network itself, where a mask is learned over it."""
    return model.network if isinstance(model, Supermask) else model


def of_part(tensors: Mapping[str, torch.Tensor], part: str) -> dict[str, torch.Tensor]:
    """Return tensors, or a mask, by their names in a network of which theirs is a part, without averages of weights."""
    return {
        f"{part}{name}": value
        for name, value in tensors.items()
        if not part or not name.startswith(f"{averages.HOLDER}.")
    }


def fitting(mask: Mask, recipe: Recipe) -> Mask:
    """Return the part of a mask that fits the recipe's network, in its order and by its names.

    An output layer for other classes is dense, but for the inputs that a mask of whole units leaves none of its
    outputs.
    """
    network = build(recipe)
    mask = models.under_own_names(mask, models.tied(network))
    found = {}
    for name, value in network.named_parameters():
        if name in mask and mask[name].shape == value.shape:
            found[name] = mask[name]
        elif name in mask and _is_of_inputs(mask[name], value):
            found[name] = mask[name][:1].expand(value.shape).contiguous()
    return found


def _is_of_inputs(keeps: torch.Tensor, value: torch.Tensor) -> bool:
    """Return whether a mask is that of inputs alone, and fits a weight but for the number of outputs."""
    return keeps.dim() > 1 and keeps.shape[1:] == value.shape[1:] and bool((keeps == keeps[:1]).all())


def masked(state: Mapping[str, torch.Tensor], mask: Mask | None) -> dict[str, torch.Tensor]:
    """Return a state dict with its pruned weights at zero."""
    mask = mask or {}
    return {name: value.masked_fill(~mask[name], 0.0) if name in mask else value for name, value in state.items()}

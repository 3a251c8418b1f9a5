"""Masks: one bool tensor for each prunable parameter, of its shape; True keeps the weight."""

from collections.abc import Iterable, Mapping

import torch
from torch import nn

from lth_ray.config import ConfigError
from lth_ray.models import counted, prunable

Mask = dict[str, torch.Tensor]


def dense_mask(model: nn.Module, names: Iterable[str] | None = None) -> Mask:
    """Return the mask that keeps everything, on the parameters' devices.

    names: the parameters it covers, biases and normalisations allowed (None: `models.prunable(model)`).
    """
    if names is None:
        covered: dict[str, nn.Parameter] = prunable(model)
    else:
        parameters = dict(model.named_parameters())
        covered = {name: named(parameters, name) for name in names}
    return {name: torch.ones_like(value, dtype=torch.bool) for name, value in covered.items()}


def apply_mask(model: nn.Module, mask: Mapping[str, torch.Tensor]) -> None:
    """Set the pruned weights to +0.0 in place, whatever they held (a product would leave -0.0 and NaN)."""
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, keeps in mask.items():
            weight = named(parameters, name)
            if weight.shape != keeps.shape:
                raise ConfigError(
                    f"the mask of {name!r} has shape {tuple(keeps.shape)}, the weights {tuple(weight.shape)}: "
                    "use the mask with the network it was made for"
                )
            weight.masked_fill_(~keeps.to(weight.device), 0.0)


def named(parameters: Mapping[str, nn.Parameter], name: str) -> nn.Parameter:
    """Return the parameter of that name. Raise ConfigError naming those there are."""
    if name not in parameters:
        raise ConfigError(f"the network has no parameter {name!r}; it has {', '.join(parameters)}")
    return parameters[name]


def kept(mask: Mapping[str, torch.Tensor]) -> int:
    """Return the number of weights that the mask keeps."""
    return sum(int(keeps.count_nonzero()) for keeps in mask.values())


def density(mask: Mapping[str, torch.Tensor]) -> float:
    """Return remaining weights: kept / eligible, in [0, 1]."""
    eligible = sum(keeps.numel() for keeps in mask.values())
    if eligible == 0:
        raise ConfigError("the mask covers no weight: let Prune.exclude leave some parameter")
    return kept(mask) / eligible


def density_of_all(mask: Mapping[str, torch.Tensor], model: nn.Module) -> float:
    """Return what a mask leaves of all weights of the model's convolutions, linear, recurrent and embedding
    layers.

    Those that it does not cover are included; what else it covers (biases, normalisations) does not count.
    """
    weights = counted(model)
    pruned = sum(keeps.numel() - kept({name: keeps}) for name, keeps in mask.items() if name in weights)
    return 1 - pruned / sum(weight.numel() for weight in weights.values())


def layer_densities(mask: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """Return the remaining weights of each parameter, in [0, 1]."""
    return {name: density({name: keeps}) for name, keeps in mask.items()}

"""Initial weights of the network that a mask leaves: drawn as its own would be, by the inputs that its layers have."""

from collections.abc import Mapping
from math import sqrt

import torch
from torch import Tensor, nn

from lth_ray.config import ConfigError, short_name
from lth_ray.models.initial import SCALED, Scheme
from lth_ray.models.weights import is_transposed, prunable


def small_initial(
    model: nn.Module, state: Mapping[str, Tensor], mask: Mapping[str, Tensor], init: Scheme | None
) -> dict[str, Tensor]:
    """Return a newly initialised state of the network as the smaller one that a mask leaves would have drawn it.

    init: how it was drawn: "glorot" by both fans, a number by none; else (Kaiming, and PyTorch's own, None, whose
        biases go with their weights) by fan-in. A layer's fans are the weights that are left for each unit of output,
        and of input, that has any (of a sparse layer their mean).
    """
    found = dict(state)
    if isinstance(init, float):
        return found
    transposed = {id(module.weight) for module in model.modules() if is_transposed(module)}
    for name, weight in prunable(model).items():
        if name not in mask or not mask[name].any():
            continue
        keeps = mask[name].transpose(0, 1) if id(weight) in transposed else mask[name]
        factor = _factor(keeps, both=init == "glorot")
        found[name] = state[name] * factor
        bias = f"{name.removesuffix('weight')}bias"
        if init is None and name.endswith("weight") and bias in state:
            found[bias] = state[bias] * factor
    return found


def check_scaled(init: Scheme | None) -> None:
    """Raise ConfigError for an initialisation that layers of other fans do not draw as these do but for one factor."""
    if init is None or isinstance(init, float) or init in SCALED:
        return
    said = short_name(init) if callable(init) else repr(init)
    raise ConfigError(
        f"Model.init = {said}: a smaller network's weights are not its own but for one factor; give 'kaiming', "
        "'glorot' or a standard deviation"
    )


def _factor(keeps: Tensor, both: bool) -> float:
    """Return the ratio of standard deviations, of the small layer's weights to the full one's."""
    full, small = _fans(torch.ones_like(keeps)), _fans(keeps)
    return sqrt(sum(full) / sum(small)) if both else sqrt(full[0] / small[0])


def _fans(keeps: Tensor) -> tuple[float, float]:
    """Return fan-in and fan-out: the weights for each unit of output, and of input, that has any."""
    matrix = keeps.flatten(2).sum(2) if keeps.dim() > 2 else keeps.long()
    count = int(matrix.sum())
    return count / int(matrix.any(1).sum()), count / int(matrix.any(0).sum())

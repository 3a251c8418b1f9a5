"""The classifiers of torchvision, by their torchvision names and untrained."""

from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from lth_ray.config import ConfigError

# Without the auxiliary heads, so that a forward pass gives logits; both warn unless init_weights is stated.
FIXED: dict[str, dict[str, Any]] = {
    "inception_v3": {"aux_logits": False, "init_weights": True},
    "googlenet": {"aux_logits": False, "init_weights": True},
}


def classifiers() -> list[str]:
    """Return the names of torchvision's image classifiers."""
    import torchvision  # slow to import, and not every study needs it

    names: list[str] = torchvision.models.list_models(module=torchvision.models)
    return names


def build_classifier(
    name: str, num_classes: int, input_shape: tuple[int, ...] | None, options: dict[str, Any]
) -> nn.Module:
    """Return torchvision's network `name`.

    Raise ConfigError for an option or an image shape (C, H, W) it does not take.
    """
    import torchvision

    try:
        model: nn.Module = torchvision.models.get_model(
            name, weights=None, num_classes=num_classes, **(FIXED.get(name, {}) | options)
        )
    except (TypeError, ValueError, RuntimeError, MemoryError) as error:
        why = next(iter(str(error).splitlines()), type(error).__name__)
        raise ConfigError(f"Model.options = {options!r}: {name} of torchvision refuses them: {why}") from error
    if input_shape is not None:
        _check_input(name, model, tuple(input_shape))
    return model


def _check_input(name: str, model: nn.Module, input_shape: tuple[int, ...]) -> None:
    """Pass two empty images through the network on the meta device: shapes only, nothing is computed."""
    state = {key: torch.empty_like(value, device="meta") for key, value in model.state_dict().items()}
    model.eval()
    try:
        with torch.device("meta"), torch.no_grad():
            functional_call(model, state, (torch.empty(2, *input_shape),))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ConfigError(
            f"Model.name = {name!r} does not take images of shape {input_shape} ({error}): "
            "use images of another size, or a network made for these such as cifar_resnet20"
        ) from error
    model.train()

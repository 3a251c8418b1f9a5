"""A study's own loss or step: what it has to return."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lth_ray.config import ConfigError, Train
from lth_ray.config.blame import named


def own_function(train: Train) -> str | None:
    """Return the field and the function that replace the training loss, in words; None where none does."""
    field = "loss" if train.step is None else "step"
    function = getattr(train, field)
    return None if function is None else named(f"Train.{field}", function)


def checked(train: Train, found: Any) -> tuple[Tensor, dict[str, Any]]:
    """Return what such a function has returned, (a scalar tensor that has a gradient, {name: number}); else
    raise ConfigError.

    Metrics come without what they were computed from: a step's graph would be kept for as long as they are.
    """
    if not (isinstance(found, tuple) and len(found) == 2):
        wrong = f"returned {_brief(found)}"
    elif not isinstance(found[0], Tensor) or found[0].dim() > 0:
        wrong = f"returned {_brief(found[0])} as the loss, which must be a tensor of no dimension: take its mean"
    elif torch.is_grad_enabled() and not found[0].requires_grad:
        wrong = (
            "returned a loss without a gradient: leave out detach(), item() and no_grad(), and let it depend on the "
            "model's outputs"
        )
    elif not isinstance(found[1], Mapping) or not all(map(_is_number, found[1].values())):
        wrong = f"returned {_brief(found[1])} as the metrics, which must be a dict from names to numbers, or {{}}"
    else:
        return found[0], {name: one.detach() if isinstance(one, Tensor) else one for name, one in found[1].items()}
    raise ConfigError(f"{own_function(train)} {wrong}; return (loss, metrics), such as (F.cross_entropy(...), {{}})")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) or (isinstance(value, Tensor) and value.numel() == 1)


def _brief(found: Any) -> str:
    if isinstance(found, Tensor):
        return f"a tensor of shape {list(found.shape)}"
    if isinstance(found, Mapping):
        return f"{{{', '.join(f'{name}: {_brief(value)}' for name, value in found.items())}}}"
    inner = f" of {len(found)}" if isinstance(found, (tuple, list)) else ""
    return "None" if found is None else f"a {type(found).__name__}{inner}"

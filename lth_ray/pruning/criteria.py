"""The table of pruning criteria: a new one is a function of Evidence, in its family's file, and an entry."""

from collections.abc import Callable, Mapping

import torch
from torch import nn

from lth_ray.config import ConfigError, nearest
from lth_ray.pruning.chance import random
from lth_ray.pruning.evidence import Evidence
from lth_ray.pruning.magnitude import magnitude

Criterion = Callable[[Evidence], dict[str, torch.Tensor]]

CRITERIA: dict[str, Criterion] = {"magnitude": magnitude, "random": random}


def score(
    criterion: str,
    model: nn.Module,
    mask: Mapping[str, torch.Tensor],
    *,
    initial: Mapping[str, torch.Tensor] | None = None,
    batch: tuple[torch.Tensor, torch.Tensor] | None = None,
    seed: int = 0,
) -> dict[str, torch.Tensor]:
    """A score for each weight that the mask covers, of its shape; the lowest are pruned.

    criterion: a key of CRITERIA. initial: state dict at initialisation. batch: (inputs, labels). seed: of random
    scores. The model is left as it was. Errors: ConfigError for an unknown criterion or parameter.
    """
    if criterion not in CRITERIA:
        raise ConfigError(f"Prune.criterion = {criterion!r}: {nearest(criterion, CRITERIA)}")
    return CRITERIA[criterion](Evidence(model, mask, initial, batch, seed))

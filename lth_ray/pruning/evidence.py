"""What a pruning criterion may look at."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from lth_ray.pruning.masks import named


@dataclass(frozen=True)
class Evidence:
    """The arguments of `score`, one for all criteria; each takes of it what it needs."""

    model: nn.Module
    mask: Mapping[str, torch.Tensor]
    initial: Mapping[str, torch.Tensor] | None
    batch: tuple[torch.Tensor, torch.Tensor] | None
    seed: int

    def weights(self) -> dict[str, torch.Tensor]:
        """The parameters that the mask covers, detached."""
        parameters = dict(self.model.named_parameters())
        return {name: named(parameters, name).detach() for name in self.mask}

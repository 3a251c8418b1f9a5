"""Fully connected policies of classic control (Yu et al. 2019, section 4.2: 128^3 and 256^3)."""

from collections.abc import Sequence
from math import prod

import torch
from torch import nn


class MlpPolicy(nn.Module):
    """Observations [B, ...], flattened, through layers fc1, fc2, ... with ReLU to two heads: [B, num_classes].

    The head `policy` gives the preferences of num_classes - 1 actions, `value` the last column.

    widths: units of each hidden layer. input_shape: of an observation.
    """

    def __init__(self, widths: Sequence[int], num_classes: int, input_shape: tuple[int, ...] = (4,)) -> None:
        super().__init__()
        sizes = [prod(input_shape), *widths]
        self.hidden = [f"fc{i}" for i in range(1, len(sizes))]
        for name, before, after in zip(self.hidden, sizes[:-1], sizes[1:], strict=True):
            self.add_module(name, nn.Linear(before, after))
        self.policy = nn.Linear(sizes[-1], num_classes - 1)
        self.value = nn.Linear(sizes[-1], 1)

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        x = observations.flatten(1)
        for name in self.hidden:
            x = torch.relu(self.get_submodule(name)(x))
        return torch.cat([self.policy(x), self.value(x)], 1)

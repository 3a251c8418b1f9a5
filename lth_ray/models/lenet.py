"""Fully connected networks: Lenet-300-100 and its widths (Frankle & Carbin 2019, section 2)."""

from collections.abc import Sequence
from math import prod

import torch
from torch import nn


class Lenet(nn.Module):
    """Images [B, C, H, W], flattened, through layers fc1, fc2, ... with ReLU to `output`: [B, num_classes].

    widths: units of each hidden layer. input_shape: (C, H, W).
    """

    def __init__(self, widths: Sequence[int], num_classes: int, input_shape: tuple[int, ...] = (1, 28, 28)) -> None:
        super().__init__()
        sizes = [prod(input_shape), *widths]
        self.hidden = [f"fc{i}" for i in range(1, len(sizes))]
        for name, before, after in zip(self.hidden, sizes[:-1], sizes[1:], strict=True):
            self.add_module(name, nn.Linear(before, after))
        self.output = nn.Linear(sizes[-1], num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = images.flatten(1)
        for name in self.hidden:
            x = torch.relu(self.get_submodule(name)(x))
        logits: torch.Tensor = self.output(x)
        return logits

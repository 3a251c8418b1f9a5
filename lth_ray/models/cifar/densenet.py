"""Densely connected networks for CIFAR (Huang et al. 2017) without bottlenecks and compression.

DenseNet-40 with a growth of 12 is that of Liu et al. 2017 and 2019, which begins with 24 channels.
"""

import torch
from torch import nn
from torch.nn.functional import avg_pool2d

from lth_ray.config import ConfigError


class Layer(nn.Module):
    """Batch norm, ReLU and a convolution [B, before, H, W] -> [B, after, H, W]."""

    def __init__(self, before: int, after: int, kernel: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(before)
        self.conv = nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.conv(torch.relu(self.norm(x)))
        return made


class CifarDenseNet(nn.Module):
    """Images [B, C, H, W] -> logits [B, num_classes].

    A 3x3 convolution `conv` with 2 x growth channels, three blocks of n layers, each of which adds `growth` channels to
    those before it, a 1x1 convolution and 2x2 average pooling between two blocks, a last batch norm and ReLU, global
    average pooling and `output`.

    depth: 3n + 4.
    growth: channels that a layer adds.
    """

    def __init__(
        self, depth: int, num_classes: int, input_shape: tuple[int, ...] = (3, 32, 32), growth: int = 12
    ) -> None:
        super().__init__()
        if depth < 7 or depth % 3 != 1:
            raise ConfigError(f"Model.name = 'cifar_densenet{depth}': depths are 3n + 4; use cifar_densenet40 or 100")
        before = 2 * growth
        self.conv = nn.Conv2d(input_shape[0], before, 3, padding=1, bias=False)
        blocks, between = [], []
        for block in range(3):
            layers = []
            for _ in range((depth - 4) // 3):
                layers.append(Layer(before, growth, 3))
                before += growth
            blocks.append(nn.ModuleList(layers))
            if block < 2:
                between.append(Layer(before, before, 1))
        self.blocks, self.transitions = nn.ModuleList(blocks), nn.ModuleList(between)
        self.norm = nn.BatchNorm2d(before)
        self.output = nn.Linear(before, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.conv(images)
        for number, block in enumerate(self.blocks):
            x = avg_pool2d(self.transitions[number - 1](x), 2) if number else x
            for layer in block:  # type: ignore[attr-defined]
                x = torch.cat([x, layer(x)], dim=1)
        logits: torch.Tensor = self.output(torch.relu(self.norm(x)).mean(dim=(2, 3)))
        return logits

"""Residual networks for CIFAR (He et al. 2016, section 4.2), with projection shortcuts (their option B).

ResNet-20 is the "Resnet-18" of Frankle & Carbin 2019: 2,560 weights in the shortcuts, 640 in the output layer.
"""

import torch
from torch import nn

from lth_ray.config import ConfigError


class Block(nn.Module):
    """Two 3x3 convolutions [B, before, H, W] -> [B, after, H/stride, W/stride], added to the input.

    Where the shape changes, a strided 1x1 convolution `shortcut` with batch norm projects the input.
    """

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.projects = stride != 1 or before != after
        if self.projects:
            self.shortcut = nn.Conv2d(before, after, 1, stride=stride, bias=False)
            self.shortcut_norm = nn.BatchNorm2d(after)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = torch.relu(self.norm1(self.conv1(x)))
        inner = self.norm2(self.conv2(inner))
        skipped = self.shortcut_norm(self.shortcut(x)) if self.projects else x
        return torch.relu(inner + skipped)


class CifarResNet(nn.Module):
    """Images [B, C, H, W] -> logits [B, num_classes].

    A 3x3 convolution `conv`, three stages of n blocks with width, 2 x width and 4 x width channels, global
    average pooling and `output`. depth: 6n + 2. width: channels of the first stage.
    """

    def __init__(
        self, depth: int, num_classes: int, input_shape: tuple[int, ...] = (3, 32, 32), width: int = 16
    ) -> None:
        super().__init__()
        if depth < 8 or depth % 6 != 2:
            raise ConfigError(
                f"Model.name = 'cifar_resnet{depth}': depths are 6n + 2; use cifar_resnet20, 32, 44, 56 or 110"
            )
        self.conv = nn.Conv2d(input_shape[0], width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        blocks, before = [], width
        for stage in range(3):
            after = width << stage
            for i in range((depth - 2) // 6):
                blocks.append(Block(before, after, stride=2 if stage and i == 0 else 1))
                before = after
        self.blocks = nn.ModuleList(blocks)
        self.output = nn.Linear(before, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.conv(images)))
        for block in self.blocks:
            x = block(x)
        logits: torch.Tensor = self.output(x.mean(dim=(2, 3)))
        return logits

"""Residual networks with pre-activation for CIFAR (He et al. 2016, "Identity mappings"), of bottleneck blocks.

PreResNet-101 is that of You et al. 2020, whose code follows that of Liu et al. 2017 (network slimming).
"""

import torch
from torch import nn

from lth_ray.config import ConfigError

EXPANSION = 4  # channels of the residual stream, in those of a block's 3x3 convolution


class Bottleneck(nn.Module):
    """Convolutions 1x1, 3x3 and 1x1 [B, before, H, W] -> [B, 4 x inner, H/stride, W/stride], added to the input; before
    each of them batch norm and ReLU.

    Where the shape changes, a strided 1x1 convolution `shortcut` projects the input as it came.
    """

    def __init__(self, before: int, inner: int, stride: int) -> None:
        super().__init__()
        after = EXPANSION * inner
        self.norm1 = nn.BatchNorm2d(before)
        self.conv1 = nn.Conv2d(before, inner, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride=stride, padding=1, bias=False)
        self.norm3 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, after, 1, bias=False)
        self.projects = stride != 1 or before != after
        if self.projects:
            self.shortcut = nn.Conv2d(before, after, 1, stride=stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.conv1(torch.relu(self.norm1(x)))
        inner = self.conv2(torch.relu(self.norm2(inner)))
        inner = self.conv3(torch.relu(self.norm3(inner)))
        added: torch.Tensor = inner + (self.shortcut(x) if self.projects else x)
        return added


class CifarPreResNet(nn.Module):
    """Images [B, C, H, W] -> logits [B, num_classes].

    A 3x3 convolution `conv`, three stages of n bottleneck blocks with width, 2 x width and 4 x width inner channels, a
    last batch norm and ReLU, global average pooling and `output`.

    depth: 9n + 2.
    width: inner channels of the first stage, and channels before it.
    """

    def __init__(
        self, depth: int, num_classes: int, input_shape: tuple[int, ...] = (3, 32, 32), width: int = 16
    ) -> None:
        super().__init__()
        if depth < 11 or depth % 9 != 2:
            raise ConfigError(
                f"Model.name = 'cifar_preresnet{depth}': depths are 9n + 2; use cifar_preresnet29, 56, 101 or 164"
            )
        self.conv = nn.Conv2d(input_shape[0], width, 3, padding=1, bias=False)
        blocks, before = [], width
        for stage in range(3):
            inner = width << stage
            for i in range((depth - 2) // 9):
                blocks.append(Bottleneck(before, inner, stride=2 if stage and i == 0 else 1))
                before = EXPANSION * inner
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.BatchNorm2d(before)
        self.output = nn.Linear(before, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.conv(images)
        for block in self.blocks:
            x = block(x)
        x = torch.relu(self.norm(x))
        logits: torch.Tensor = self.output(x.mean(dim=(2, 3)))
        return logits

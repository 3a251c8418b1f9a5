"""VGG for CIFAR (Simonyan & Zisserman 2015) with batch norm, global average pooling and one output layer.

VGG-19 is that of Frankle & Carbin 2019: 20.0M weights, 5,120 of them in the output layer.
"""

import torch
from torch import nn
from torch.nn.functional import max_pool2d

from lth_ray.config import ConfigError

# Convolutions in each stage; a stage has width x MULTIPLES channels, and a 2x2 max pooling stands between two.
STAGES = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
MULTIPLES = (1, 2, 4, 8, 8)


class Layer(nn.Module):
    """A 3x3 convolution, batch norm (which makes a bias of its own redundant) and ReLU."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(after)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.norm(self.conv(x)))


class CifarVGG(nn.Module):
    """Images [B, C, H, W], each side at least 16, -> logits [B, num_classes].

    depth: 11, 13, 16 or 19. width: channels of the first stage.
    """

    def __init__(
        self, depth: int, num_classes: int, input_shape: tuple[int, ...] = (3, 32, 32), width: int = 64
    ) -> None:
        super().__init__()
        if depth not in STAGES:
            raise ConfigError(f"Model.name = 'cifar_vgg{depth}': use cifar_vgg11, 13, 16 or 19")
        before, height, *rest = input_shape
        if min(height, *rest) < 16:
            raise ConfigError(
                f"Model.name = 'cifar_vgg{depth}' halves the image 4 times: {height}x{rest[0]} is too small, "
                "the least is 16x16"
            )
        layers = []
        for count, multiple in zip(STAGES[depth], MULTIPLES, strict=True):
            for _ in range(count):
                layers.append(Layer(before, width * multiple))
                before = width * multiple
        self.layers = nn.ModuleList(layers)
        self.pooled = {sum(STAGES[depth][:stage]) for stage in range(1, len(MULTIPLES))}  # first of a stage
        self.output = nn.Linear(before, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = images
        for i, layer in enumerate(self.layers):
            x = layer(max_pool2d(x, 2) if i in self.pooled else x)
        logits: torch.Tensor = self.output(x.mean(dim=(2, 3)))
        return logits

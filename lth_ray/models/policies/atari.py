"""The convolutional policy of Atari's games (Mnih et al. 2015, methods: three convolutions and a layer of 512)."""

import torch
from torch import nn

from lth_ray.config import ConfigError

LEAST = 36  # pixels of a side, of which one is left behind the convolutions


class AtariPolicy(nn.Module):
    """Frames [B, C, H, W] through conv1 ... conv3 and fc with ReLU to the heads `policy` and `value`: [B, num_classes].

    width: channels of the first convolution; the others have twice as many, fc has 16 times as many units.
    input_shape: (C, H, W), each side at least 36.
    """

    def __init__(self, num_classes: int, input_shape: tuple[int, ...] = (4, 84, 84), width: int = 32) -> None:
        super().__init__()
        if min(input_shape[1:]) < LEAST:
            raise ConfigError(
                f"Model.name = 'atari_policy': observations of shape {tuple(input_shape)} are no frames of at least "
                f"{LEAST}x{LEAST} pixels; use a fully connected policy, such as policy_128_128_128"
            )
        self.conv1 = nn.Conv2d(input_shape[0], width, 8, stride=4)
        self.conv2 = nn.Conv2d(width, 2 * width, 4, stride=2)
        self.conv3 = nn.Conv2d(2 * width, 2 * width, 3)
        height, columns = (((side - 8) // 4 + 1 - 4) // 2 + 1 - 2 for side in input_shape[1:])
        self.fc = nn.Linear(2 * width * height * columns, 16 * width)
        self.policy = nn.Linear(16 * width, num_classes - 1)
        self.value = nn.Linear(16 * width, 1)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        x = frames
        for convolution in (self.conv1, self.conv2, self.conv3):
            x = torch.relu(convolution(x))
        x = torch.relu(self.fc(x.flatten(1)))
        return torch.cat([self.policy(x), self.value(x)], 1)

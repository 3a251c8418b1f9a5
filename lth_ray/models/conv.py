"""Conv-2, Conv-4 and Conv-6: small VGG-like networks for CIFAR-10 (Frankle & Carbin 2019, section 3)."""

import torch
from torch import nn
from torch.nn.functional import dropout, max_pool2d

from lth_ray.config import ConfigError

WIDENING = (1, 2, 4)  # of each pair of 3x3 convolutions, in `width` channels; a 2x2 max pooling follows each pair


class Conv(nn.Module):
    """Images [B, C, H, W] through pairs of convolutions conv1 ... convN, fc1, fc2 and `output`: [B,
    num_classes].

    convolutions: 2, 4 or 6. width: channels of the first pair; the hidden layers have 4 x width units.
    input_shape: (C, H, W), each side at least 2 ** (convolutions / 2).
    dropout: probability after fc1 and after fc2 (the paper's 0.5 leaves its place open).
    """

    def __init__(
        self,
        convolutions: int,
        num_classes: int,
        input_shape: tuple[int, ...] = (3, 32, 32),
        dropout: float = 0.0,
        width: int = 64,
    ) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise ConfigError(f"Model.options['dropout'] = {dropout!r}: give a probability in [0, 1)")
        pairs = convolutions // 2
        (channels, height, columns), hidden = input_shape, 4 * width
        if min(height, columns) < 2**pairs:
            raise ConfigError(
                f"Model.name = 'conv{convolutions}' halves the image {pairs} times: {height}x{columns} is too small, "
                f"the least is {2**pairs}x{2**pairs}"
            )
        self.dropout, self.pairs = dropout, pairs
        for i in range(convolutions):
            after = width * WIDENING[i // 2]
            self.add_module(f"conv{i + 1}", nn.Conv2d(channels, after, 3, padding=1))
            channels = after
        self.fc1 = nn.Linear(channels * (height >> pairs) * (columns >> pairs), hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.output = nn.Linear(hidden, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = images
        for pair in range(self.pairs):
            for i in (2 * pair + 1, 2 * pair + 2):
                x = torch.relu(self.get_submodule(f"conv{i}")(x))
            x = max_pool2d(x, 2)
        x = x.flatten(1)
        for layer in (self.fc1, self.fc2):
            x = torch.relu(layer(x))
            if self.dropout:  # so that a network without it draws no random numbers
                x = dropout(x, self.dropout, self.training)
        logits: torch.Tensor = self.output(x)
        return logits

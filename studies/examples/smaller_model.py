"""How much smaller and faster can my network be, and what does it cost? A network and images of one's own.

The images lie in photos/train/CLASS and photos/test/CLASS, under the working directory. Filters are pruned whole, a
quarter of what is left in each of three rounds, and the network is trained on after each; the last lines print
accuracy, size and latency of the dense network and of the smaller one, and write both to files.
"""

from itertools import pairwise

import torch
from torch import nn

from lth_ray import Data, Launch, Model, Prune, Rewind, Study, Train, epochs, run, smaller_networks


class Mine(nn.Module):
    """Images [B, C, H, W] -> logits [B, num_classes]."""

    def __init__(self, num_classes: int, input_shape: tuple[int, int, int]) -> None:
        super().__init__()
        widths = (input_shape[0], 32, 64, 64)
        layers = [
            nn.Sequential(nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU())
            for before, after in pairwise(widths)
        ]
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.output = nn.Linear(4 * widths[-1], num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.output(self.features(images))
        return logits


study = Study(
    "smaller-model",
    model=Model(Mine),
    data=Data("folder:photos", batch_size=32, validation=100, image_size=32),
    train=Train(epochs(10), lr=0.05, momentum=0.9, weight_decay=1e-4, evaluate_every=epochs(1)),
    prune=Prune("l1", structure="channels", fraction=0.25, rounds=3),  # single weights: Prune(fraction=0.5, rounds=3)
    rewind=[Rewind(epochs(5), method="learning_rate")],  # keep the weights, train the last half again
    seeds=[0],
    keep="tickets",
)

if __name__ == "__main__":
    print(smaller_networks(run(study, Launch()), to="smaller").T.to_string())

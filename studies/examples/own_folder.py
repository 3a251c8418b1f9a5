"""How small is the network that sorts my photos? A network of one's own, and a folder of images for each class.

The images lie in photos/train/CLASS and photos/test/CLASS, under the working directory or --data-root.
"""

import torch
from torch import nn

from lth_ray import Data, Model, Prune, RandomReinit, Study, Train, epochs, main


class Tiny(nn.Module):
    """Images [B, C, H, W] -> logits [B, num_classes]."""

    def __init__(self, num_classes: int, input_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(input_shape[0], 16, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(8))
        self.output = nn.Linear(16 * 8 * 8, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.output(self.features(images).flatten(1))
        return logits


study = Study(
    "own-folder",
    model=Model(Tiny),
    data=Data("folder:photos", batch_size=32, validation=100, image_size=32),
    train=Train(epochs(20), lr=0.1, momentum=0.9, evaluate_every=epochs(1)),
    prune=Prune(fraction=0.2, rounds=8),
    rewind=[epochs(0), epochs(1)],
    seeds=[0, 1, 2],
    branches=[RandomReinit()],
)

if __name__ == "__main__":
    main(study)

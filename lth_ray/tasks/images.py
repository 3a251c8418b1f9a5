"""Images and their classes: cross entropy, accuracy."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from lth_ray import data
from lth_ray.config import Data, Train
from lth_ray.data import AnySplit, Dataset, Identity
from lth_ray.tasks.base import Batch, Evaluation, Step, Stream, Task
from lth_ray.tasks.objectives import CrossEntropy

OBJECTIVE = CrossEntropy()
IMAGES_A_CLASS = 10  # whose gradients a criterion looks at (Tanaka et al. 2020, appendix)


class Images(Task[Data]):
    """Classification of images (config.Data). A batch is (inputs float32 [B, C, H, W], labels int64 [B])."""

    def identify(self, data_root: str | Path | None = None) -> Identity:
        return data.identify(self.config, data_root)

    def load(
        self, data_root: str | Path | None = None, device: str | torch.device = "cpu", loaders: int = 0
    ) -> Dataset:
        return data.load(self.config, data_root, device, loaders)

    def stream(self, loaded: Dataset, order_seed: int, augmentation_seed: int, part: range | None = None) -> Stream:
        return data.training_batches(loaded, self.config, order_seed, augmentation_seed, part)

    def splits(self, loaded: Dataset) -> Mapping[str, AnySplit]:
        """Return the splits, each cut to Data.evaluation_images."""
        found = {"validation": loaded.validation, "test": loaded.test}
        return {name: self.measured(split) for name, split in found.items() if split is not None}

    def measured(self, split: AnySplit) -> AnySplit:
        """Return the images of a split that evaluations measure."""
        n = self.config.evaluation_images
        return split if n is None else split.first(n)

    def examples(self, loaded: Dataset, split: AnySplit, share: tuple[int, int] = (0, 1)) -> Iterator[Batch]:
        return data.evaluation_batches(split, loaded.mean, loaded.std, share=share)

    def evidence(self, loaded: Dataset, order: int, number: int = 0) -> Batch:
        """Return images in the training order, as they are: a batch, or ten a class where that is more."""
        size = max(self.config.batch_size, IMAGES_A_CLASS * loaded.num_classes)
        plain = replace(self.config, batch_size=min(size, len(loaded.train)), augment="none")
        return data.training_batches(loaded, plain, order, 0).batch(number)

    def loss(self, train: Train) -> Step:
        return OBJECTIVE.loss(train)

    def sums(self, outputs: Tensor, batch: Batch) -> Tensor:
        return OBJECTIVE.sums(outputs, batch)

    def evaluation(self, sums: Tensor) -> Evaluation:
        return OBJECTIVE.evaluation(sums)

    def example(self, identity: Identity) -> tuple[Tensor]:
        return (torch.zeros(1, *identity.input_shape),)

    def classes(self, identity: Identity) -> int:
        return identity.num_classes

    def chance(self, identity: Identity) -> float:
        return OBJECTIVE.chance(identity.num_classes)

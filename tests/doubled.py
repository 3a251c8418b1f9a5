"""Batches in double precision."""

import torch

from lth_ray.data import Batches


class InDouble:
    """Batches whose inputs are float64."""

    def __init__(self, batches: Batches) -> None:
        self.batches, self.steps_per_epoch = batches, batches.steps_per_epoch

    def batch(self, step: int, model: object = None) -> tuple[torch.Tensor, torch.Tensor]:
        inputs, labels = self.batches.batch(step)
        return inputs.double(), labels

    def close(self) -> None: ...

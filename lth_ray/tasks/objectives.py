"""Objectives, by which predictions and targets are compared: classes by cross entropy and accuracy, numbers
by least squares.
"""

from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lth_ray.config import ConfigError, Train
from lth_ray.tasks.base import Batch, Evaluation, Step


class Objective(ABC):
    """A task's loss and metric, where its batches are (inputs, targets); see `Task` for the methods."""

    @abstractmethod
    def loss(self, train: Train) -> Step: ...

    @abstractmethod
    def sums(self, outputs: Tensor, batch: Batch) -> Tensor: ...

    @abstractmethod
    def evaluation(self, sums: Tensor) -> Evaluation: ...

    def chance(self, num_classes: int) -> float | None:
        """Return the metric of a network that has learnt nothing; None where that is not known."""
        return None


class CrossEntropy(Objective):
    """An objective whose targets are classes, int64 [B], and whose metric is the accuracy."""

    def loss(self, train: Train) -> Step:
        def cross_entropy(model: torch.nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Any]]:
            inputs, labels = batch
            return F.cross_entropy(model(inputs), labels, label_smoothing=train.label_smoothing), {}

        return cross_entropy

    def sums(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return [sum of cross entropies, examples classified rightly, examples]."""
        _, labels = batch
        loss = F.cross_entropy(outputs.float(), labels, reduction="sum").double()
        right = (outputs.argmax(1) == labels).sum().double()
        return torch.stack([loss, right, torch.full_like(loss, len(labels))])

    def evaluation(self, sums: Tensor) -> Evaluation:
        loss, right, n = sums.tolist()
        return Evaluation(loss / n, right / n, int(n))

    def chance(self, num_classes: int) -> float:
        return 1 / num_classes


class LeastSquares(Objective):
    """An objective whose targets are numbers, float32 [B] or [B, k].

    The metric is `score`: "r2", of all k together, or "rmse".
    """

    def __init__(self, score: str) -> None:
        self.score = score

    def loss(self, train: Train) -> Step:
        def squared_error(model: torch.nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Any]]:
            inputs, targets = batch
            return F.mse_loss(_predictions(model(inputs), targets), targets), {}

        return squared_error

    def sums(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return [sum of losses, of squared errors, of each of the k targets, of all squared targets, rows]."""
        _, targets = batch
        errors = (_predictions(outputs, targets).double() - targets.double()).square().sum()
        wanted = targets.double().flatten(1) if targets.dim() > 1 else targets.double()[:, None]
        rows = errors.new_tensor([len(targets)])
        loss = errors / wanted.shape[1]
        return torch.cat([loss[None], errors[None], wanted.sum(0), wanted.square().sum()[None], rows])

    def evaluation(self, sums: Tensor) -> Evaluation:
        loss, squares, *totals, total_squares, n = sums.tolist()
        if self.score == "rmse":
            return Evaluation(loss / n, (squares / (n * len(totals))) ** 0.5, int(n))
        spread = total_squares - sum(total**2 for total in totals) / n
        return Evaluation(loss / n, 1 - squares / spread if spread > 0 else 0.0, int(n))


def _predictions(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return as many numbers as there are targets. Raise ConfigError for a network that gives more or fewer."""
    if outputs.numel() != targets.numel():
        each = targets[0].numel()
        raise ConfigError(
            f"Model: it gives {tuple(outputs.shape)} for {len(targets)} rows, and {'one number' if each == 1 else each}"
            f" a row is needed; end it in {each} output{'s' * (each > 1)} (num_classes is {each})"
        )
    return outputs.reshape(targets.shape)

"""A small network with something of everything, a segment of its training, and bitwise comparison."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from lth_ray import models
from lth_ray.data import Dataset
from lth_ray.pruning import Mask
from lth_ray.training import Pause, Recipe, Seeds, Start, train_segment

SEEDS = Seeds(order=11, augmentation=12, dropout=13)


class SmallNet(nn.Module):
    """A convolution with batch norm, dropout, and a linear layer: something of everything a state holds."""

    def __init__(self, num_classes: int, dropout: float = 0.3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.hidden = nn.Linear(4 * 16, 16)
        self.output = nn.Linear(16, num_classes)
        self.dropout = dropout

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(torch.relu(self.norm(self.conv(images))), 2).flatten(1)
        x = F.dropout(torch.relu(self.hidden(x)), self.dropout, self.training)
        logits: torch.Tensor = self.output(x)
        return logits


@dataclass(frozen=True)
class Setting:
    """Everything that one segment is trained from."""

    recipe: Recipe
    dataset: Dataset
    mask: Mask | None
    initial: dict[str, torch.Tensor]

    def model(self) -> nn.Module:
        return models.build(self.recipe.model.name, 10, (1, 8, 8), seed=0, **self.recipe.model.options)

    def begin(self) -> Start:
        return Start(0, self.initial)

    def pauses(self, start: Start, last: int, **options: Any) -> Iterator[Pause]:
        mask, dataset = self.mask, self.dataset
        return train_segment("key", self.recipe, self.model(), dataset, mask, SEEDS, start, last, **options)

    def trained(self, start: Start, last: int, **options: Any) -> Pause:
        """The last pause of a segment."""
        *_, end = self.pauses(start, last, **options)
        return end


def clone(value: Any) -> Any:
    """A copy of nested tensors, as storing and loading them makes."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: clone(item) for key, item in value.items()}
    return [clone(item) for item in value] if isinstance(value, list) else value


def bits(value: Any) -> Any:
    """Nested plain data that is equal only for equal bits: NaN equals itself, and -0.0 is not 0.0."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), value.detach().cpu().contiguous().numpy().tobytes()
    if isinstance(value, dict):
        return {key: bits(item) for key, item in value.items()}
    return [bits(item) for item in value] if isinstance(value, (list, tuple)) else value


def everything(pause: Pause) -> Any:
    """The bits of all that a segment leaves behind."""
    run = pause.run
    return bits([run.step, run.model.state_dict(), run.optimizer.state_dict(), pause.journal, run.loss_sum])


def restart(pause: Pause) -> Start:
    """Return what a checkpoint at `pause` lets training go on from."""
    run = pause.run
    model, optimizer = clone(run.model.state_dict()), clone(run.optimizer.state_dict())
    return Start(run.step, model, optimizer, clone(pause.journal), float(run.loss_sum), run.loss_steps)


def half_mask(model: nn.Module) -> Mask:
    """Keeps about half of each prunable weight."""
    generator = torch.Generator().manual_seed(5)
    return {name: torch.rand(p.shape, generator=generator) < 0.5 for name, p in models.prunable(model).items()}

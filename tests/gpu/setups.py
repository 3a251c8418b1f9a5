"""Networks on random images, on any device, so that a CPU may try what is meant for a GPU."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from lth_ray import models, pruning
from lth_ray.config import Data, Model, Train, steps
from lth_ray.data import Batches, Dataset, Identity, Split
from lth_ray.pruning import Mask
from lth_ray.training import Pause, Recipe, Run, Seeds, Start, train_segment
from tests.doubled import InDouble

MEAN, STD = 0.5, 0.25
TRAIN, TEST = 512, 256
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"lr": 0.05},
    "nesterov": {"lr": 0.02, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3},
    "adam": {"optimizer": "adam", "lr": 1.2e-3, "weight_decay": 1e-3},
    "adamw": {"optimizer": "adamw", "lr": 1.2e-3, "weight_decay": 1e-1},
    "schedule": {"lr": 0.05, "momentum": 0.9, "warmup": steps(5), "schedule": "cosine"},
}


@dataclass(frozen=True)
class Case:
    """A network, its data and its recipe. density: of the random mask; None for none."""

    device: torch.device
    recipe: Recipe
    shape: tuple[int, int, int]
    density: float | None = 0.2

    def dataset(self) -> Dataset:
        generator = torch.Generator().manual_seed(0)

        def split(n: int) -> Split:
            images = torch.randint(0, 256, (n, *self.shape), dtype=torch.uint8, generator=generator)
            return Split(images, torch.randint(0, 10, (n,), generator=generator)).to(self.device)

        channels = self.shape[0]
        return Dataset(split(TRAIN), None, split(TEST), 10, self.shape, (MEAN,) * channels, (STD,) * channels, "random")

    def network(self, seed: int = 0) -> tuple[torch.nn.Module, Mask | None]:
        """On the device, pruned weights at zero."""
        ours = self.recipe.model.name in ("resnet50", "resnet18")
        model = models.build(self.recipe.model.name, 10, None if ours else self.shape, seed=seed)
        mask = None
        if self.density is not None:
            dense = pruning.dense_mask(model)
            mask = pruning.prune(pruning.score("random", model, dense, seed=seed), dense, 1 - self.density)
            pruning.apply_mask(model, mask)
        layout = torch.channels_last if self.recipe.train.channels_last else torch.contiguous_format
        model = model.to(device=self.device, memory_format=layout)
        return model, mask and {name: kept.to(self.device) for name, kept in mask.items()}

    def run(self, seed: int = 0, dtype: torch.dtype = torch.float32, dataset: Dataset | None = None) -> Run:
        """Training that has not begun; `seed` is that of weights, mask, order and augmentation."""
        dataset, data = dataset or self.dataset(), self.recipe.data
        model, mask = self.network(seed)
        batches = Batches(dataset.train, dataset.mean, dataset.std, data.batch_size, seed, seed, data.augment)
        given = InDouble(batches) if dtype == torch.float64 else batches
        return Run(f"run {seed}", self.recipe, model.to(dtype), given, 0, mask, 0)

    def pauses(self, start: Start | None, last: int, **options: Any) -> Iterator[Pause]:
        """Of a segment up to step `last`."""
        model, mask = self.network()
        start = start or Start(0, {name: value.clone() for name, value in model.state_dict().items()})
        return train_segment("key", self.recipe, model, self.dataset(), mask, Seeds(1, 2, 3), start, last, **options)

    def trained(self, start: Start | None, last: int, **options: Any) -> Pause:
        """The last pause."""
        *_, end = self.pauses(start, last, **options)
        return end


def a_case(
    device: torch.device, model: str, shape: tuple[int, int, int], *, batch: int = 32, augment: str = "none",
    density: float | None = 0.2, **train: Any,
) -> Case:  # fmt: skip
    data = Data("digits", batch_size=batch, validation=0, augment=augment)
    fields: dict[str, Any] = {"length": steps(200), "lr": 0.05, "evaluate_every": steps(10), **train}
    recipe = Recipe(Model(model), data, Train(**fields), Identity("0" * 64, TRAIN, 0, TEST, shape, 10))
    return Case(device, recipe, shape, density)


def masks_hold(run: Run) -> bool:
    """Return whether pruned weights and their moments are exactly zero."""
    for parameter, kept in run.kept:
        moments = [value for value in run.optimizer.state.get(parameter, {}).values() if value.dim()]
        if any(bool((tensor[kept == 0] != 0).any()) for tensor in (parameter.detach(), *moments)):
            return False
    return bool(run.kept)

"""What every data set becomes: uint8 images resident in memory, in two or three splits."""

import hashlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lth_ray.config import ConfigError
from lth_ray.data.order import SPLIT, permutation

Channels = tuple[float, ...]
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Split:
    """Images, uint8 [n, C, H, W], and labels, int64 [n], on one device; pixel value `white` stands for 1.0."""

    images: Tensor
    labels: Tensor
    white: int = 255

    def __len__(self) -> int:
        return self.labels.numel()

    def take(self, rows: Tensor) -> "Split":
        """The images at these positions, in this order."""
        return Split(self.images.index_select(0, rows), self.labels.index_select(0, rows), self.white)

    def first(self, n: int) -> "Split":
        """The first n images, or all where there are fewer; shares their memory."""
        return Split(self.images[:n], self.labels[:n], self.white)

    def to(self, device: str | torch.device) -> "Split":
        return Split(self.images.to(device), self.labels.to(device), self.white)


@dataclass(frozen=True)
class Dataset:
    """A data set ready to train on. mean, std: per channel, on the 0..1 scale. digest: as in Identity."""

    train: Split
    validation: Split | None
    test: Split
    num_classes: int
    input_shape: Shape
    mean: Channels
    std: Channels
    digest: str


@dataclass(frozen=True)
class Identity:
    """What planning needs to know of a data set: its content and its sizes, never its name or place.

    digest: of the stored files' bytes. What is made of them (held-out images, image size) is in config.Data.
    """

    digest: str
    n_train: int
    n_validation: int
    n_test: int
    input_shape: Shape
    num_classes: int


@dataclass(frozen=True)
class Source:
    """A data set that was found but not yet read. n_train counts images before any are held out.

    read: gives (train, test) on the CPU. statistics: published (mean, std), or None to measure them.
    """

    digest: str
    n_train: int
    n_test: int
    input_shape: Shape
    num_classes: int
    read: Callable[[], tuple[Split, Split]]
    statistics: tuple[Channels, Channels] | None = None


def combined_digest(train: Iterable[str], test: Iterable[str]) -> str:
    """One sha256 over the files' own digests, in reading order."""
    lines = [*(f"train {digest}" for digest in train), *(f"test {digest}" for digest in test)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def array_split(images: np.ndarray, labels: np.ndarray, white: int = 255) -> Split:
    """A Split from uint8 [n, C, H, W] and integer [n] arrays."""
    return Split(torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64)), white)


def check_validation(validation: int, n_train: int) -> None:
    """Refuses to hold out everything there is to train on."""
    if validation >= n_train:
        raise ConfigError(f"Data.validation = {validation}: there are {n_train} training images in all; hold out fewer")


def hold_out(split: Split, validation: int, split_seed: int) -> tuple[Split, Split | None]:
    """(the rest, `validation` images drawn at random), each in the order of `split`; (split, None) for none."""
    check_validation(validation, len(split))
    if validation == 0:
        return split, None
    order = torch.from_numpy(permutation(split_seed, 0, len(split), SPLIT))
    return split.take(order[validation:].sort().values), split.take(order[:validation].sort().values)


def measured_statistics(split: Split) -> tuple[Channels, Channels]:
    """Each channel's mean and (population) standard deviation on the 0..1 scale, to 6 digits.

    Sums are exact integers taken from histograms, so that the result depends on no order of summation.
    """
    means, deviations = [], []
    for channel in split.images.unbind(1):
        counts = torch.bincount(channel.reshape(-1), minlength=256).tolist()
        n = sum(counts)
        total = sum(value * count for value, count in enumerate(counts))
        squares = sum(value * value * count for value, count in enumerate(counts))
        means.append(round(total / n / split.white, 6))
        deviation = round(math.sqrt(n * squares - total * total) / n / split.white, 6)
        deviations.append(deviation or 1.0)  # a channel of one value is only shifted, not divided by zero
    return tuple(means), tuple(deviations)

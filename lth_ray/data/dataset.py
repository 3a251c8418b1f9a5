"""Data sets ready to train on: two or three splits of uint8 images in memory, or of encoded ones in shards."""

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lth_ray.config import ConfigError
from lth_ray.data.order import LABELS, SPLIT, draws, permutation
from lth_ray.data.packed.reading import PackedSplit

Channels = tuple[float, ...]
Shape = tuple[int, int, int]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Images, uint8 [n, C, H, W], and labels, int64 [n], on one device; pixel value `white` stands for 1.0.

    turned: batches turn each image, here still upright, by so many quarters as its label says; those of training by
    newly drawn ones, which become its label.
    """

    images: Tensor
    labels: Tensor
    white: int = 255
    turned: bool = False

    def __len__(self) -> int:
        return self.labels.numel()

    def take(self, rows: Tensor) -> "Split":
        """Return the images at these positions, in this order."""
        return replace(self, images=self.images.index_select(0, rows), labels=self.labels.index_select(0, rows))

    def first(self, n: int) -> "Split":
        """Return the first n images, or all where there are fewer; they share memory."""
        return replace(self, images=self.images[:n], labels=self.labels[:n])

    def relabelled(self, labels: Tensor) -> "Split":
        """Return the same images with other labels."""
        return replace(self, labels=labels.to(self.labels.device))

    def to(self, device: str | torch.device) -> "Split":
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))


AnySplit = Split | PackedSplit


@dataclass(frozen=True)
class Dataset:
    """A data set ready to train on.

    mean, std: per channel, on the 0..1 scale.
    digest: as in Identity.
    """

    train: AnySplit
    validation: AnySplit | None
    test: AnySplit
    num_classes: int
    input_shape: Shape
    mean: Channels
    std: Channels
    digest: str


@dataclass(frozen=True)
class Identity:
    """The content and the sizes of a data set, which planning needs to know; never its name or place.

    digest: of the stored files' bytes. What is made of them (held-out images, image size, target) is in
        config.Data.
    n_train: 0 where examples are made as they are needed, and nothing is an epoch.
    input_shape: of one example.
    num_classes: what the network is to give for it; 1 number for a regression.
    input_dtype: of what the network is called with, "float32", "int64" or "int32".
    vocabulary: of inputs that are tokens how many of them there are.
    steps_per_epoch: where a batch is no fixed number of the examples to train on; None for n_train // batch size.
    """

    digest: str
    n_train: int
    n_validation: int
    n_test: int
    input_shape: tuple[int, ...]
    num_classes: int
    input_dtype: str = "float32"
    vocabulary: int | None = None
    steps_per_epoch: int | None = None


def as_shape(shape: tuple[int, ...]) -> Shape:
    """Return the shape of an image, [C, H, W], for what it is."""
    channels, height, width = shape
    return channels, height, width


@dataclass(frozen=True)
class Source:
    """A data set that was found but not yet read.

    n_train: images before any are held out.
    read: gives (train, test) on the CPU.
    statistics: published (mean, std), or None to measure them.
    stored_labels: gives those of (train, test), where they are at hand without the images.
    """

    digest: str
    n_train: int
    n_test: int
    input_shape: Shape
    num_classes: int
    read: Callable[[], tuple[AnySplit, AnySplit]]
    statistics: tuple[Channels, Channels] | None = None
    stored_labels: Callable[[], tuple[Labels, Labels]] | None = None

    def labels(self) -> tuple[Labels, Labels]:
        """Return the labels of (train, test)."""
        if self.stored_labels is not None:
            return self.stored_labels()
        train, test = self.read()
        assert isinstance(train, Split), "those of packed sets are not read at once"
        assert isinstance(test, Split)
        return train.labels.numpy(), test.labels.numpy()


def file_digest(path: Path) -> str:
    """Return the sha256 (hex) of a file's bytes, which are read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def combined_digest(train: Iterable[str], test: Iterable[str]) -> str:
    """Return one sha256 over the files' own digests, in reading order."""
    lines = [*(f"train {digest}" for digest in train), *(f"test {digest}" for digest in test)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def array_split(images: np.ndarray, labels: np.ndarray, white: int = 255) -> Split:
    """Return a Split from uint8 [n, C, H, W] and integer [n] arrays."""
    return Split(torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64)), white)


def check_split(validation: int, train_images: int | None, n_train: int) -> None:
    """Refuse to hold out everything there is to train on, and to train on more than what is left."""
    if validation >= n_train:
        raise ConfigError(f"Data.validation = {validation}: there are {n_train} training images in all; hold out fewer")
    if train_images is not None and train_images > n_train - validation:
        raise ConfigError(
            f"Data.train_images = {train_images}: there are {n_train} training images, {validation} of them held out; "
            f"give at most {n_train - validation}, or None for all"
        )


def check_places(only: Sequence[int] | None, n_train: int) -> None:
    """Refuse places of training images (Data.only) that there are not."""
    if only is not None and max(only) >= n_train:
        raise ConfigError(
            f"Data.only: place {max(only)}: {n_train} images are trained on without it, the last of place "
            f"{n_train - 1}; give places of these"
        )


def hold_out(
    split: AnySplit, validation: int, split_seed: int, train_images: int | None = None
) -> tuple[AnySplit, AnySplit | None]:
    """Return (the rest, `validation` images drawn at random), each in the order of `split`; (split, None) for
    none.

    train_images: the rest is cut to the so many that are drawn first (None: it is not). Of two numbers the larger
    has the smaller one's images and more.
    """
    check_split(validation, train_images, len(split))
    order = torch.from_numpy(permutation(split_seed, 0, len(split), SPLIT))
    held_out = split.take(order[:validation].sort().values) if validation else None
    end = len(split) if train_images is None else validation + train_images
    rest = order[validation:end]
    return split if len(rest) == len(split) else split.take(rest.sort().values), held_out


def random_labels(split: AnySplit, num_classes: int, split_seed: int) -> AnySplit:
    """Return `split` with uniformly drawn labels; that of the i-th image depends on (split_seed, i) alone.

    Zhang et al. 2017 (arXiv:1611.03530, section 2). Scaling 32 bits favours no class by more than 1 in 2**32.
    """
    drawn = draws(split_seed, 0, len(split), LABELS) >> np.uint64(32)
    labels = (drawn * np.uint64(num_classes) >> np.uint64(32)).astype(np.int64)
    return split.relabelled(torch.from_numpy(labels))


def measured_statistics(split: AnySplit) -> tuple[Channels, Channels]:
    """Return each channel's mean and (population) standard deviation on the 0..1 scale, to 6 digits.

    Sums are exact integers taken from histograms, so that the result depends on no order of summation.
    """
    assert isinstance(split, Split), "packed sets come with their statistics"
    found = []
    for channel in split.images.unbind(1):
        counts = torch.bincount(channel.reshape(-1), minlength=256).tolist()
        total = sum(value * count for value, count in enumerate(counts))
        found.append((sum(counts), total, sum(value * value * count for value, count in enumerate(counts))))
    return statistics_of_sums(found, split.white)


def statistics_of_sums(sums: Iterable[tuple[int, int, int]], white: int) -> tuple[Channels, Channels]:
    """Return (means, deviations) from each channel's (number of pixels, their sum, the sum of their squares)."""
    means, deviations = [], []
    for n, total, squares in sums:
        means.append(round(total / n / white, 6))
        deviation = round(math.sqrt(n * squares - total * total) / n / white, 6)
        deviations.append(deviation or 1.0)  # a channel of one value is only shifted, not divided by zero
    return tuple(means), tuple(deviations)

"""Parts of a stored set: images of some classes, one half of those to train on, grey images in three channels."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from lth_ray.config import ConfigError, Data
from lth_ray.data.dataset import Channels, Shape, Split
from lth_ray.data.order import HALVES, permutation

PARTS = ("a", "b")


def is_selected(data: Data) -> bool:
    """Return whether `data` asks for some of a set's images, which their labels tell."""
    return data.classes is not None or data.part is not None


def training_rows(labels: NDArray[np.int64], data: Data) -> NDArray[np.int64]:
    """Return the positions of the training images that `data` asks for, in their order.

    Halves are those of each class, so that both have as many of it, or "a" has one more. They depend on `split_seed`
    and on no other field: what is held out is drawn from one half.
    """
    kept = np.ones(len(labels), dtype=bool) if data.classes is None else np.isin(labels, data.classes)
    if data.part is not None:
        kept &= _first_halves(labels, data.split_seed) == (data.part == PARTS[0])
    return np.flatnonzero(kept)


def testing_rows(labels: NDArray[np.int64], data: Data) -> NDArray[np.int64]:
    """Return the positions of the test images that `data` asks for: those of its classes."""
    return np.arange(len(labels)) if data.classes is None else np.flatnonzero(np.isin(labels, data.classes))


def _first_halves(labels: NDArray[np.int64], split_seed: int) -> NDArray[np.bool_]:
    """Return whether each image is of the first half of its class, in the order that `split_seed` draws."""
    order = permutation(split_seed, 0, len(labels), HALVES)
    by_class = order[np.argsort(labels[order], kind="stable")]
    sizes = np.bincount(labels)
    places = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    first = np.empty(len(labels), dtype=bool)
    first[by_class] = places < np.repeat((sizes + 1) // 2, sizes)
    return first


def selected(train: Split, test: Split, data: Data) -> tuple[Split, Split]:
    """Return the images that `data` asks for, classes numbered in the order of `data.classes`, in its channels."""
    if is_selected(data):
        train = _renumbered(train.take(torch.from_numpy(training_rows(train.labels.numpy(), data))), data.classes)
        test = _renumbered(test.take(torch.from_numpy(testing_rows(test.labels.numpy(), data))), data.classes)
    return _in_channels(train, data.channels), _in_channels(test, data.channels)


def _renumbered(split: Split, classes: Sequence[int] | None) -> Split:
    if classes is None:
        return split
    numbers = torch.full((max(classes) + 1,), -1)
    numbers[torch.tensor(classes)] = torch.arange(len(classes))
    return split.relabelled(numbers[split.labels])


def _in_channels(split: Split, channels: int | None) -> Split:
    if channels is None or split.images.shape[1] == channels:
        return split
    return replace(split, images=split.images.expand(-1, channels, -1, -1).contiguous())


def shape_in_channels(shape: Shape, channels: int | None) -> Shape:
    """Return the shape of an image once it has `channels`. Raise ConfigError where it cannot have them."""
    if channels is None or shape[0] == channels:
        return shape
    if shape[0] != 1:
        raise ConfigError(f"Data.channels = {channels}: the images have {shape[0]}, and only grey ones are given more")
    return channels, shape[1], shape[2]


def statistics_in_channels(found: tuple[Channels, Channels], channels: int) -> tuple[Channels, Channels]:
    """Return each channel's mean and deviation, those of grey images repeated."""
    mean, std = (one * channels if len(one) == 1 else one for one in found)
    return mean, std


def check_classes(data: Data, num_classes: int) -> None:
    """Raise ConfigError for a class that the set does not have."""
    beyond = [number for number in data.classes or () if number >= num_classes]
    if beyond:
        raise ConfigError(
            f"Data.classes = {list(data.classes or ())}: the set has classes 0 to {num_classes - 1}, and not {beyond}"
        )

"""The items of a user's data set as tensors of one shape and kind, each of them looked at."""

import math
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lth_ray.config import ConfigError
from lth_ray.config.blame import in_one_line
from lth_ray.config.tasks.images import MOST_CLASSES


class Items:
    """A data set's (input, target) pairs, by number.

    what: the data set's place and name, in messages.
    """

    def __init__(self, dataset: Any, what: str) -> None:
        self.what, self._dataset = what, dataset
        try:
            self.n = len(dataset)
        except (TypeError, NotImplementedError):
            raise ConfigError(
                f"{what}: it has no length; give a map-style data set, such as a list of its items"
            ) from None
        if not self.n:
            raise ConfigError(f"{what}: it is empty; give at least one example")

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        try:
            item = self._dataset[i]
        except Exception as error:
            raise ConfigError(f"{self.what}: item {i} cannot be read: {in_one_line(error)}") from error
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            size = f" of {len(item)}" if isinstance(item, (tuple, list, dict)) else ""
            raise ConfigError(f"{self.what}: item {i} is a {type(item).__name__}{size}; return (input, target)")
        return _plain(self._tensor(item[0], i, "input")), self._tensor(item[1], i, "target")

    @cached_property
    def first(self) -> tuple[Tensor, Tensor]:
        return self[0]

    @property
    def bytes(self) -> int:
        """The bytes of all inputs, if they are as the first."""
        return self.n * self.first[0].nbytes

    def _tensor(self, value: Any, i: int, name: str) -> Tensor:
        if isinstance(value, Tensor):
            return value.detach().cpu()
        if isinstance(value, (bool, int, float)):
            return torch.tensor(value, dtype=torch.float64 if isinstance(value, float) else None)
        if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "buif":
            return torch.from_numpy(
                np.array(value, dtype=np.int64 if value.dtype.kind == "u" and value.itemsize > 1 else None)
            )
        if hasattr(value, "getbands"):  # an image of Pillow's
            from torchvision.transforms.functional import pil_to_tensor

            found: Tensor = pil_to_tensor(value)
            return found
        raise ConfigError(f"{self.what}: the {name} of item {i} is a {type(value).__name__}; return a tensor")


def stacked(items: Items, classes: bool) -> tuple[Tensor, Tensor]:
    """Return all inputs, [n, ...], and targets: int64 [n] of classes; else float32, [n] or [n, k].

    ConfigError, naming the item, for what is of another shape or kind than the first, or no finite number, and where
    an item is another each time it is asked for.
    """
    shape, kind = items.first[0].shape, items.first[0].dtype
    inputs = torch.empty(items.n, *shape, dtype=kind)
    targets = list[Tensor]()
    for i in range(items.n):
        one, target = items.first if i == 0 else items[i]
        if one.shape != shape:
            raise ConfigError(
                f"{items.what}: the input of item {i} has the shape {tuple(one.shape)}, that of item 0 {tuple(shape)}; "
                "bring them to one shape"
            )
        if one.dtype != kind:
            raise ConfigError(
                f"{items.what}: the input of item {i} is {one.dtype}, that of item 0 {kind}; convert them to one kind"
            )
        if kind == torch.float32 and not one.isfinite().all():
            raise ConfigError(f"{items.what}: the input of item {i} is not finite (NaN or inf); mend it or drop it")
        inputs[i] = one
        targets.append(_class(items, i, target) if classes else _numbers(items, i, target, targets))
    again = items[0]
    if not torch.equal(again[0], inputs[0]) or not torch.equal(again[1], items.first[1]):
        raise ConfigError(
            f"{items.what}: item 0 is another each time it is asked for; leave random augmentation out of the data set"
        )
    return inputs, torch.stack(targets)


def _plain(given: Tensor) -> Tensor:
    """Return uint8 as it is, floats and bool as float32, other whole numbers as int64."""
    if given.dtype == torch.uint8:
        return given
    return given.to(torch.float32 if given.is_floating_point() or given.dtype == torch.bool else torch.int64)


def _class(items: Items, i: int, target: Tensor) -> Tensor:
    if target.numel() != 1 or target.is_floating_point() or target.is_complex():
        found = f"{target.dtype} of shape {tuple(target.shape)}" if target.numel() != 1 else f"{target.item()!r}"
        raise ConfigError(
            f"Examples.score = 'accuracy': in {items.what.rpartition(' = ')[2]} the target of item {i} is {found}; "
            "give a class numbered from 0, or score='r2' or 'rmse' for numbers"
        )
    number = int(target)
    if not 0 <= number < MOST_CLASSES:
        raise ConfigError(
            f"{items.what}: the target of item {i} is {number}; number the classes from 0, under {MOST_CLASSES:,}"
        )
    return torch.tensor(number)


def _numbers(items: Items, i: int, target: Tensor, before: list[Tensor]) -> Tensor:
    found = target.float()
    if found.dim() > 1 or not found.numel() or (before and found.shape != before[0].shape):
        like = f", that of item 0 {tuple(before[0].shape)}" if before else ""
        raise ConfigError(
            f"{items.what}: the target of item {i} has the shape {tuple(found.shape)}{like}; give a number, or as many "
            "in each"
        )
    if not math.isfinite(found.sum().item()):
        raise ConfigError(f"{items.what}: the target of item {i} is not finite (NaN or inf); mend it or drop it")
    return found

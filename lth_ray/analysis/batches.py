"""Data that is passed over more than once."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch

from lth_ray.config import ConfigError
from lth_ray.data import Batch

Passes = Callable[[], Iterator[Batch]]
SIZE = 2000  # images of a tensor that go through the network at a time


def passes(field: str, inputs: Any, labels: torch.Tensor | None = None) -> Passes:
    """Return a function that begins a new pass over (inputs, labels) batches at each call.

    field: what an error calls the inputs.
    inputs: a tensor [N, ...] with `labels` [N]; or batches: a list or another iterable that may be passed
        over again, or a function that returns an iterable, anew at each call.

    Errors: ConfigError, at once for anything else, an iterator among them; during a pass, when it has no
    batch or something else in it.
    """
    if isinstance(inputs, torch.Tensor):
        return _cut(field, inputs, labels)
    if labels is not None:
        raise ConfigError(f"labels: {field} are batches, which bring their own; leave labels out")
    if isinstance(inputs, Iterator) or not (callable(inputs) or isinstance(inputs, Iterable)):
        raise ConfigError(
            f"{field} = a {type(inputs).__name__}, which cannot be passed over again and again: "
            "give a list of (inputs, labels) batches, or a function that returns them anew at each call"
        )
    return lambda: _checked(field, inputs)


def _cut(field: str, inputs: torch.Tensor, labels: torch.Tensor | None) -> Passes:
    if labels is None or len(labels) != len(inputs) or not len(inputs):
        found = "none" if labels is None else str(len(labels))
        raise ConfigError(
            f"labels: found {found} for the {len(inputs)} of {field}; give a label for each, at least one"
        )
    return lambda: zip(torch.split(inputs, SIZE), torch.split(labels, SIZE), strict=True)


def _checked(field: str, source: Any) -> Iterator[Batch]:
    empty = True
    for batch in source() if callable(source) else source:
        if not (isinstance(batch, (tuple, list)) and len(batch) == 2):
            raise ConfigError(f"{field} holds a {type(batch).__name__}: give (inputs, labels) batches")
        empty = False
        yield batch[0], batch[1]
    if empty:
        raise ConfigError(f"{field} holds no batch: give at least one, and anew at each call if it is a function")

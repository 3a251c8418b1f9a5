"""Batch-norm statistics measured anew: those of an interpolated or transplanted network are stale."""

import contextlib
from collections.abc import Iterable, Iterator

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from lth_ray.config import ConfigError
from lth_ray.models.tied import evaluating


def statistics_layers(model: nn.Module) -> list[_BatchNorm]:
    """List the batch norms of a network that keep running statistics."""
    return [layer for layer in model.modules() if isinstance(layer, _BatchNorm) and layer.running_mean is not None]


def reestimate(model: nn.Module, batches: Iterable[tuple[torch.Tensor, ...]]) -> None:
    """Replace the running statistics of every batch-norm layer, in place, by their averages over `batches`.

    batches: of training data, inputs first; the rest is not used. A batch counts by its number of inputs (all
    alike where they are of one size: a cumulative moving average). Other layers are in evaluation mode meanwhile,
    so that there is no dropout; no weight changes, and modes and momenta are left as they were. A network without
    running statistics is left alone, and no batch is drawn.
    Errors: ConfigError when there is no batch.
    """
    layers = statistics_layers(model)
    if not layers:
        return
    seen = 0
    with torch.no_grad(), _measuring(model, layers):
        for inputs, *_ in batches:
            seen += len(inputs)
            for layer in layers:
                layer.momentum = len(inputs) / seen
            model(inputs)
    if not seen:
        raise ConfigError("batches: there is none to re-estimate batch-norm statistics from; give training batches")


@contextlib.contextmanager
def _measuring(model: nn.Module, layers: list[_BatchNorm]) -> Iterator[None]:
    """Put batch norm alone in training mode, with its statistics reset."""
    momenta = [(layer, layer.momentum) for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
    try:
        with evaluating(model, layers):
            yield
    finally:
        for layer, momentum in momenta:
            layer.momentum = momentum

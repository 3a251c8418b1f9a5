"""The modes of a network's modules, training or evaluation, changed for a while and put back one by one."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(model: nn.Module, but: Iterable[nn.Module] = ()) -> Iterator[None]:
    """Put a network in evaluation mode; afterwards every module is in its own again.

    but: modules of it that are in training mode meanwhile.
    """
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        for module in but:
            module.training = True
        yield
    finally:
        for module, was in modes:
            module.training = was

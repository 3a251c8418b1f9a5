"""Sharpness-aware minimisation: the gradient of a step is taken where the loss is about highest near the weights."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lth_ray.training.averages import HOLDER
from lth_ray.training.optimizers import mask_gradients

LEAST = 1e-12  # added to the gradient's norm, so that one of zero moves nothing


@contextmanager
def ascended(model: nn.Module, radius: float, masked: Sequence[tuple[Tensor, Tensor]]) -> Iterator[None]:
    """Hold a network's weights `radius` along their gradient while its gradients are taken again (Foret et al. 2021,
    equation 2 and algorithm 1).

    Weights that the mask prunes, and what has no gradient, stay where they are, and count nothing in the gradient's
    norm. Gradients are cleared; weights are put back bit for bit, and so is what a forward pass moves (the running
    statistics of batch norm): a step's statistics are those of its first pass.

    masked: (parameter, its mask as floats) pairs.
    """
    mask_gradients(masked)
    with torch.no_grad():
        moved: list[torch.Tensor] = [parameter for parameter in model.parameters() if parameter.grad is not None]
        gradients = [parameter.grad.clone() for parameter in moved if parameter.grad is not None]
        norms = torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients])
        stood = [parameter.clone() for parameter in moved]
        buffers = [buffer for name, buffer in model.named_buffers() if not name.startswith(f"{HOLDER}.")]
        held = [buffer.clone() for buffer in buffers]
        model.zero_grad()
        torch._foreach_mul_(gradients, radius / (torch.linalg.vector_norm(norms) + LEAST))
        torch._foreach_add_(moved, gradients)
    try:
        yield
    finally:
        with torch.no_grad():
            for one, before in zip([*moved, *buffers], [*stood, *held], strict=True):
                one.copy_(before)

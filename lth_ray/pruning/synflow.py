"""Synaptic flow: a criterion that looks at no data (Tanaka et al. 2020)."""

import torch
from torch import nn

from lth_ray.pruning.evidence import Evidence, NoGradient
from lth_ray.pruning.flow import flow


def synflow(evidence: Evidence) -> dict[str, torch.Tensor]:
    """Score by |w| dR/d|w|, R the sum of the network's outputs for an input of ones; float64.

    All its parameters are made positive, and normalisations linear by the rule of lth_ray.pruning.flow.

    Without biases the scores of every layer sum to R, and those into a hidden unit sum to those out of it.
    """
    assert evidence.batches is not None
    inputs = evidence.batches[0][0]
    if not inputs.is_floating_point():
        raise NoGradient(f"it calls the network with ones, and its inputs are {inputs.dtype}; give another criterion")
    model = evidence.model
    leaves = {name: nn.Parameter(weight.double().abs()) for name, weight in evidence.masked().items()}
    device = next(iter(leaves.values())).device
    others = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    tensors = {name: _positive(value.detach()) for name, value in others.items() if name not in leaves}
    ones = torch.ones(1, *inputs.shape[1:], dtype=torch.float64, device=device)
    with torch.enable_grad():
        total = flow(model, {**tensors, **leaves}, ones)
    if not total.requires_grad:
        raise NoGradient(
            "the network's outputs do not depend on the weights by operations that have a gradient; mend "
            "the network, or give another criterion"
        )
    gradients = torch.autograd.grad(total, list(leaves.values()), materialize_grads=True)
    return {name: (leaf * g).detach() for (name, leaf), g in zip(leaves.items(), gradients, strict=True)}


def _positive(value: torch.Tensor) -> torch.Tensor:
    return value.double().abs() if value.is_floating_point() else value.clone()

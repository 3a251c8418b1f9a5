"""Floating-point operations of a network: what a search costs, and what a sparse network would.

torch.utils.flop_counter comes to the same numbers for convolutions, linear and recurrent layers, but to 0 for a
TransformerEncoderLayer that takes its fast path, and counts operators, not the uses of each weight that a mask keeps.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from lth_ray.models.detection import straight
from lth_ray.models.tied import evaluating
from lth_ray.models.weights import computed, is_linear, prunable

TRAINING = 3  # a step's backward pass costs about two forward ones


@torch.no_grad()
def uses_of_weights(model: nn.Module, example: tuple[Any, ...]) -> dict[str, int]:
    """Return {parameter: how often each of its weights is used in the forward pass of one example}.

    example: what the model is called with for one example.

    Of conv and linear weights: the number of places that a kernel is applied to, 1 for a linear layer on a vector, the
    number of tokens for the projections of attention to itself and for recurrent weights.
    The rest (normalisations, activations) is left out, as is usual where sparse networks are compared.
    """
    found: dict[str, int] = {}
    names = {id(weight): name for name, weight in prunable(model).items()}
    stand_ins = {one.layer: one.stand_in for one in computed(model) if one.stand_in}
    hooks = []
    for path, module in model.named_modules():
        for name in [stand_ins[path]] if path in stand_ins else _read_by(module, names):

            def count(module: nn.Module, inputs: Any, output: Any, name: str = name) -> None:
                found[name] = found.get(name, 0) + _places(module, output)

            hooks.append(module.register_forward_hook(count))
    first = next(model.parameters())
    try:
        with evaluating(model), straight(model):
            model(*(like(first, given) for given in example))
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _read_by(module: nn.Module, names: Mapping[int, str]) -> list[str]:
    """Return the prunable weights that a module multiplies by, which others may share (an embedding looks
    them up).
    """
    if isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
        return []
    own = list(module.parameters(recurse=False))
    if isinstance(module, nn.MultiheadAttention):  # which reads the weight of its output layer without calling it
        own += module.out_proj.parameters(recurse=False)
    return [names[id(weight)] for weight in own if id(weight) in names]


def like(weight: torch.Tensor, given: Any) -> Any:
    """Return a tensor on the weight's device and, if of real numbers, in its precision."""
    if not isinstance(given, torch.Tensor):
        return given
    return given.to(weight) if given.is_floating_point() else given.to(weight.device)


def _places(module: nn.Module, output: Any) -> int:
    """Return the number of places of a layer's output: pixels, or tokens."""
    of_tokens = is_linear(module) or isinstance(module, (nn.MultiheadAttention, nn.RNNBase, nn.RNNCellBase))
    first = output[0] if isinstance(output, tuple) else output
    return int(first.numel()) // int(first.shape[-1] if of_tokens else first.shape[1])


def forward_flops(model: nn.Module, uses: Mapping[str, int], mask: Mapping[str, torch.Tensor] | None = None) -> int:
    """Return the operations for one example: two, a multiplication and an addition, for each use of a weight
    that `mask` keeps.

    uses: see `uses_of_weights`.
    """
    mask = mask or {}
    sizes = {name: weight.numel() for name, weight in model.named_parameters() if name in uses}
    sizes |= {name: int(keeps.count_nonzero()) for name, keeps in mask.items() if name in sizes}
    return 2 * sum(int(sizes[name]) * times for name, times in uses.items())

"""Prunable weights, those of convolutions and linear layers; and what papers count as weights."""

from torch import nn
from torch.nn.modules.conv import _ConvNd

_PROJECTIONS = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")


def prunable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return every convolution's and linear layer's weight by its name in the state dict, in order of
    registration.

    The fused or separate input projections of nn.MultiheadAttention are linear weights too. A weight that two
    layers share is named once. Biases, embeddings and the parameters of normalisations are not prunable.
    """
    found: set[int] = set()
    for module in model.modules():
        if isinstance(module, (_ConvNd, nn.Linear)):
            found.add(id(module.weight))
        elif isinstance(module, nn.MultiheadAttention):
            found.update(id(getattr(module, name)) for name in _PROJECTIONS)
    return {name: parameter for name, parameter in model.named_parameters() if id(parameter) in found}


def counted(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return every weight of convolutions, linear, recurrent and embedding layers by name, prunable or not.

    It is the denominator of Frankle & Carbin 2019. Shared weights are named once.
    """
    layers = (nn.RNNBase, nn.RNNCellBase, nn.Embedding, nn.EmbeddingBag)
    found = {id(parameter) for parameter in prunable(model).values()}
    for module in model.modules():
        if isinstance(module, layers):
            own = module.named_parameters(recurse=False)
            found.update(id(parameter) for name, parameter in own if name.startswith("weight"))
    return {name: parameter for name, parameter in model.named_parameters() if id(parameter) in found}

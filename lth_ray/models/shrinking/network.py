"""The smaller network itself: a copy whose tensors, and the sizes that its layers have noted, are cut."""

import copy
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from lth_ray.models.shrinking.draws import draw_as_whole
from lth_ray.models.shrinking.heads import FewerHeads
from lth_ray.models.shrinking.positions import Kept, Shrinking


def build_small(model: nn.Module, how: Shrinking, *, draws_as_whole: bool = False) -> nn.Module:
    """Return a copy of `model` that has what stays of its tensors.

    draws_as_whole: dropout draws in training for what the whole network has, and so the same for what stays; by default
        for the shapes that there are.
    """
    memo: dict[int, Any] = {}  # what the copy has in the place of whole tensors
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if name in how.kept:
            memo[id(tensor)] = _of_kind(how.small(name, tensor.detach()), tensor)
    small = copy.deepcopy(model, memo)
    for path, module in small.named_modules():
        _fit(module)
        if isinstance(module, nn.MultiheadAttention) and f"{path}.out_proj.weight" in how.kept:
            _narrow(module, how.kept[f"{path}.out_proj.weight"])
    return draw_as_whole(small, how) if draws_as_whole else small


def _of_kind(value: Tensor, like: Tensor) -> Tensor:
    value = value.contiguous()
    return nn.Parameter(value, like.requires_grad) if isinstance(like, nn.Parameter) else value


def _fit(module: Any) -> None:
    """Let a layer note the sizes that its tensors have."""
    if isinstance(module, _ConvNd):
        _fit_convolution(module)
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, _NormBase):
        held = next((one for one in (module.weight, module.running_mean) if one is not None), None)
        module.num_features = module.num_features if held is None else len(held)
    elif isinstance(module, nn.GroupNorm) and module.affine:
        _fit_groups(module)
    elif isinstance(module, nn.Embedding):
        module.num_embeddings, module.embedding_dim = module.weight.shape
    elif isinstance(module, nn.PReLU):
        module.num_parameters = len(module.weight)
    elif isinstance(module, nn.RNNBase):
        _fit_recurrent(module)
    elif isinstance(module, nn.RNNCellBase):
        module.input_size, module.hidden_size = module.weight_ih.shape[1], module.weight_hh.shape[1]


def _fit_recurrent(module: Any) -> None:
    module.input_size, module.hidden_size = module.weight_ih_l0.shape[1], module.weight_hh_l0.shape[1]
    module._flat_weights = [getattr(module, name, None) for name in module._flat_weights_names]


def _fit_groups(module: Any) -> None:
    """Let a GroupNorm note its channels and groups, of which each is there whole or not at all."""
    before, module.num_channels = module.num_channels, len(module.weight)
    module.num_groups = module.num_groups * module.num_channels // before


def _fit_convolution(module: Any) -> None:
    """Let a convolution note its channels, and its groups, of which each is there whole or not at all."""
    turned = isinstance(module, _ConvTransposeNd)
    rows, columns = module.weight.shape[:2]
    if module.groups > 1:
        module.groups = module.groups * rows // (module.in_channels if turned else module.out_channels)
    sizes = rows, columns * module.groups
    module.in_channels, module.out_channels = sizes if turned else sizes[::-1]


def _narrow(module: nn.MultiheadAttention, kept: Kept) -> None:
    """Let attention go on with the heads that stay."""
    before, columns = module.num_heads, kept[1]
    module.__class__ = FewerHeads
    assert isinstance(module, FewerHeads)
    module.narrow()
    if columns is not None:
        module.drawn = before, columns[:: module.head_dim] // module.head_dim

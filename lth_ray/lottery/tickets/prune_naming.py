"""The naming of torch.nn.utils.prune: a pruned parameter `weight` is stored as `weight_orig` and `weight_mask`."""

from collections.abc import Mapping

import torch

from lth_ray.config import ConfigError

Tensors = dict[str, torch.Tensor]
ORIG, MASK = "_orig", "_mask"


def to_prune_naming(state: Mapping[str, torch.Tensor], mask: Mapping[str, torch.Tensor]) -> Tensors:
    """Return a state dict for a network on which prune.custom_from_mask was applied to every parameter of
    `mask`.

    Masks are of their weights' dtype, as torch keeps them; 1 keeps.
    """
    named: Tensors = {}
    for name, value in state.items():
        if name in mask:
            named |= {name + ORIG: value, name + MASK: mask[name].to(value.dtype)}
        else:
            named[name] = value
    return named


def from_prune_naming(given: Mapping[str, torch.Tensor], where: str) -> tuple[Tensors, Tensors]:
    """Return (state dict, mask) of a pruned network's state dict; pruned weights hold what they held.

    where: what is read, for messages. Raises ConfigError, naming the tensor, for an `_orig` without its `_mask` and
    the reverse, other shapes, masks of anything but 0 and 1, weights that are not finite, and nothing pruned at all.
    """
    pruned = [name.removesuffix(ORIG) for name in given if name.endswith(ORIG)]
    if not pruned:
        raise ConfigError(
            f"{where} holds no pruned parameter: expected pairs such as fc1.weight{ORIG} and fc1.weight{MASK}; prune "
            "by torch.nn.utils.prune and save model.state_dict() before prune.remove"
        )
    mask = {name: _mask(given, name, where) for name in pruned}
    state: Tensors = {}
    for name, value in given.items():
        own = name.removesuffix(ORIG)
        if name.endswith(MASK) and name.removesuffix(MASK) in mask:
            continue
        if name in mask:
            raise ConfigError(f"{where} holds both {name!r} and {name + ORIG!r}: remove one of them")
        state[own] = finite(value, name, where)
    return state, mask


def is_dense(given: Mapping[str, torch.Tensor]) -> bool:
    """Return whether nothing in a state dict is named as something pruned."""
    return not any(name.endswith(ORIG) or (name.endswith(MASK) and name.removesuffix(MASK) in given) for name in given)


def finite(value: torch.Tensor, name: str, where: str) -> torch.Tensor:
    """Return `value`. Raise ConfigError where it holds NaN or infinity."""
    if value.is_floating_point() and not value.isfinite().all():
        raise ConfigError(f"{where}: {name!r} has values that are NaN or infinite; import a network that is whole")
    return value


def _mask(given: Mapping[str, torch.Tensor], name: str, where: str) -> torch.Tensor:
    if name + MASK not in given:
        raise ConfigError(f"{where} holds {name + ORIG!r} and no {name + MASK!r}: save the whole state dict")
    found, weights = given[name + MASK], given[name + ORIG]
    if found.shape != weights.shape:
        raise ConfigError(
            f"{where}: {name + MASK!r} has shape {tuple(found.shape)}, the weights {tuple(weights.shape)}; "
            "a mask has its weights' shape"
        )
    keeps = found.bool()
    if not torch.equal(keeps.to(found.dtype), found):
        raise ConfigError(f"{where}: {name + MASK!r} has other values than 0 and 1; a mask keeps a weight or does not")
    return keeps

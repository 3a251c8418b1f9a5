"""Patterns that tickets share, and masks of other networks that follow them (Liu et al. 2019, section 5).

A stage is a group of layers whose images are of one size; the stages of two networks correspond in their order. Guided
pruning keeps in each layer of a stage the mean share of channels that a ticket's layers keep there; guided sparsifying
keeps at each position of a kernel the mean share of weights that its kernels keep there. As a control both are uniform:
one share throughout.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from lth_ray.config import ConfigError
from lth_ray.data.order import uniform
from lth_ray.models import UnitLayer
from lth_ray.pruning.masks import Mask
from lth_ray.pruning.selection import lowest
from lth_ray.pruning.structured.masks import of_units, with_units

Stage = tuple[int, ...]  # the size of its images
Share = TypeVar("Share")


def stages_of(sizes: Mapping[str, Stage]) -> list[Stage]:
    """Return the stages of a network, each at its first layer's place. sizes: of the images of each layer."""
    return list(dict.fromkeys(size for size in sizes.values() if len(size) > 1))


def shares_of_channels(mask: Mapping[str, Tensor], layers: Sequence[UnitLayer], same: bool = False) -> list[float]:
    """Return the mean share of channels that a mask keeps in the layers of each stage; `same`: of all, in each.

    Errors: ConfigError for a stage without a channel.
    """
    kept = of_units(mask, layers)
    sizes = {layer.name: layer.stage for layer in layers}
    found = []
    for stage in stages_of(sizes):
        there = [kept[name].double().mean() for name in kept if same or sizes[name] == stage]
        found.append(float(torch.stack(there).mean()))
        if not found[-1]:
            raise ConfigError(
                f"Guided: the ticket keeps no channel of the stage of {'x'.join(map(str, stage))} images; give a "
                "ticket that is pruned less"
            )
    return found


def guided_channels(
    shares: Sequence[float], layers: Sequence[UnitLayer], parameters: Mapping[str, Tensor]
) -> Mask:  # fmt: skip
    """Return a mask that keeps of each layer's channels the share of its stage, at least one, the first ones: they are
    all alike before they are trained.
    """
    sizes = {layer.name: layer.stage for layer in layers}
    each = dict(zip(stages_of(sizes), _fitting(shares, stages_of(sizes)), strict=True))
    chosen = [layer for layer in layers if layer.stage in each]
    counts = {layer.name: max(1, round(each[layer.stage] * layer.size)) for layer in chosen}
    kept = {layer.name: torch.arange(layer.size) < counts[layer.name] for layer in chosen}
    return with_units(kept, chosen, parameters)


def shares_of_positions(
    mask: Mapping[str, Tensor], sizes: Mapping[str, Stage], same: bool = False
) -> list[dict[Stage, Tensor]]:
    """Return for each stage {kernel: the mean share of weights kept at each of its positions}; `same`: the share of all
    weights of such kernels, at each.

    sizes: of the images that each convolution puts out.
    """
    found = []
    for stage in stages_of({name: sizes[name] for name in sizes if name in mask}):
        kernels: dict[Stage, list[Tensor]] = {}
        for name, keeps in mask.items():
            if name in sizes and keeps.dim() > 2 and (same or sizes[name] == stage):
                kernels.setdefault(tuple(keeps.shape[2:]), []).append(keeps.double())
        found.append({kernel: _mean(some, same) for kernel, some in kernels.items()})
        if not any(bool(share.any()) for share in found[-1].values()):
            raise ConfigError(
                f"Guided: the ticket keeps no weight of the stage of {'x'.join(map(str, stage))} images; give a ticket "
                "that is pruned less"
            )
    return found


def _mean(kernels: list[Tensor], same: bool) -> Tensor:
    if same:
        total = sum(int(one.sum()) for one in kernels) / sum(one.numel() for one in kernels)
        return torch.full(kernels[0].shape[2:], total, dtype=torch.float64)
    return torch.stack([one.mean((0, 1)) for one in kernels]).mean(0)


def guided_positions(
    shares: Sequence[Mapping[Stage, Tensor]], model: nn.Module, sizes: Mapping[str, Stage], seed: int
) -> Mask:
    """Return a mask that keeps of a convolution's weights at each position of its kernel the share of its stage, random
    ones. Kernels of sizes that the pattern has not stay dense.
    """
    every = {name: one for name, one in model.named_parameters() if name in sizes and one.dim() > 2}
    stages = stages_of({name: sizes[name] for name in every})
    each, found = dict(zip(stages, _fitting(shares, stages), strict=True)), {}
    for name, weight in every.items():
        pattern = each.get(sizes[name], {}).get(tuple(weight.shape[2:]))
        if pattern is None:
            continue
        places = uniform(seed, f"positions/{name}", weight.numel()).view(-1, pattern.numel())
        counts = [round(float(share) * len(places)) for share in pattern.flatten()]
        keeps = [lowest(places[:, at], count) for at, count in enumerate(counts)]
        found[name] = torch.stack(keeps, dim=1).view(weight.shape)
    return found


def _fitting(shares: Sequence[Share], stages: Sequence[Stage]) -> Sequence[Share]:
    if len(shares) != len(stages):
        raise ConfigError(
            f"Guided.model: the network has {len(stages)} stages, and the ticket's {len(shares)}: stages correspond in "
            "their order; give a network of as many"
        )
    return shares

"""Architectures of pruned networks by name: the share of the channels that each layer keeps.

They are those of Liu et al. 2019, after Li et al. 2017 (A and B) and Luo et al. 2017 (ThiNet): of a residual network
the first convolution of a block loses channels, and some blocks lose none. The number that a layer keeps is
int(share x its channels), as in the authors' code, and so the same share in a network of another width.
"""

from collections.abc import Collection, Mapping, Sequence

Shares = Mapping[str, float]  # by globs over the names of layers of units


def _cifar_resnet(blocks: int, shares: Sequence[float], whole: Collection[int]) -> dict[str, float]:
    """Return the shares of three stages of so many blocks each, less the `whole` ones by their number."""
    return {
        f"blocks.{number}.conv1.weight": shares[number // blocks]
        for number in range(3 * blocks)
        if number not in whole and shares[number // blocks] < 1
    }


def _resnet34(shares: Sequence[float]) -> dict[str, float]:
    """Return the shares of the first three stages; the first block of each stage, the last one and the fourth stage
    are whole.
    """
    sizes = (3, 4, 6)
    inner = {1: range(1, 3), 2: range(1, 3), 3: range(1, 5)}
    assert all(max(some) < size for some, size in zip(inner.values(), sizes, strict=True))
    return {
        f"layer{stage}.{block}.conv1.weight": shares[stage - 1] for stage, blocks in inner.items() for block in blocks
    }


def _vgg(*layers: int) -> dict[str, float]:
    return {f"layers.{number}.conv.weight": 0.5 for number in layers}


ARCHITECTURES: Mapping[str, Shares] = {
    "vgg16_a": _vgg(0, *range(7, 13)),
    "vgg16_thinet": _vgg(*range(10)),
    "resnet56_a": _cifar_resnet(9, (0.9, 0.9, 0.9), {7, 9, 18, 26}),
    "resnet56_b": _cifar_resnet(9, (0.4, 0.7, 0.9), {7, 8, 9, 16, 18, 26}),
    "resnet110_a": _cifar_resnet(18, (0.5, 1.0, 1.0), {17}),
    "resnet110_b": _cifar_resnet(18, (0.5, 0.6, 0.7), {17, 18, 36}),
    "resnet34_a": _resnet34((0.7, 0.7, 0.7)),
    "resnet34_b": _resnet34((0.5, 0.4, 0.6)),
}


def shares_of(keep: str | Mapping[str, float | int]) -> Mapping[str, float | int]:
    """Return what each layer keeps: as it is given, or of an architecture by its name."""
    return ARCHITECTURES[keep] if isinstance(keep, str) else keep


def kept_of(share: float | int, units: int) -> int:
    """Return how many of a layer's units are kept: a number as it is, of a share int(share x units), at least one."""
    return share if isinstance(share, int) else max(1, int(share * units))

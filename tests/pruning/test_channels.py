"""Masks of channels by the scales of batch norms, and what belongs to a channel."""

import torch
from torch import nn

from lth_ray import models, pruning

IMAGE = (torch.zeros(1, 3, 32, 32),)


def members(name: str) -> dict[str, tuple[str, ...]]:
    return {scale.name: scale.members for scale in models.scales(models.build(name), IMAGE)}


def test_a_norm_right_behind_a_convolution_has_its_rows() -> None:
    found = members("cifar_vgg16_2")
    assert len(found) == 13
    assert found["layers.3.norm.weight"] == ("layers.3.norm.bias", "layers.3.conv.weight")


def test_behind_an_addition_a_norm_has_its_bias_alone() -> None:
    """The first block's norm reads the output of a convolution that the shortcut reads as well."""
    found = members("cifar_preresnet29_4")
    assert len(found) == 3 * 9 + 1
    assert found["blocks.0.norm1.weight"] == ("blocks.0.norm1.bias",)
    assert found["blocks.1.norm1.weight"] == ("blocks.1.norm1.bias",)
    assert found["blocks.1.norm2.weight"] == ("blocks.1.norm2.bias", "blocks.1.conv1.weight")
    assert found["norm.weight"] == ("norm.bias",)


def test_shortcuts_with_a_norm_of_their_own() -> None:
    found = members("cifar_resnet20_4")
    assert found["blocks.3.shortcut_norm.weight"] == ("blocks.3.shortcut_norm.bias", "blocks.3.shortcut.weight")
    assert found["norm.weight"] == ("norm.bias", "conv.weight")


class Shared(nn.Module):
    """Two norms of one convolution with a bias, and one of a convolution that is read elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)
        self.one, self.other, self.third = nn.BatchNorm2d(4), nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.alone, self.alone_norm = nn.Conv2d(4, 2, 1), nn.BatchNorm2d(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        x = self.one(x) + self.other(x)
        y = self.second(x)
        x = self.third(y) + y
        return self.alone_norm(self.alone(x)).mean((2, 3))


def test_a_layer_that_serves_two_is_no_ones() -> None:
    found = {scale.name: scale.members for scale in models.scales(Shared(), IMAGE)}
    assert found == {
        "one.weight": ("one.bias",),
        "other.weight": ("other.bias",),
        "third.weight": ("third.bias",),
        "alone_norm.weight": ("alone_norm.bias", "alone.weight", "alone.bias"),
    }


def test_whole_channels_go() -> None:
    network = models.build("cifar_vgg11_2", seed=0)
    scales = models.scales(network, IMAGE)
    parameters = dict(network.named_parameters())
    with torch.no_grad():
        for number, name in enumerate(models.scale_parameters(network)):
            parameters[name].copy_(torch.arange(len(parameters[name])) * 0.01 + number)
    ones = {name: torch.ones_like(value, dtype=torch.bool) for name, value in models.scale_parameters(network).items()}
    total = sum(keeps.numel() for keeps in ones.values())
    channels = pruning.prune(pruning.score("bn_scale", network, ones), ones, 0.3)
    mask = pruning.with_members(channels, scales, parameters)
    assert sum(int((~keeps).sum()) for keeps in channels.values()) == round(0.3 * total)
    assert not channels["layers.0.norm.weight"].any()  # the lowest scales are the first layer's
    for name, keeps in channels.items():
        layer = name.removesuffix("norm.weight")
        rows = mask[f"{layer}conv.weight"]
        assert torch.equal(rows.flatten(1).any(1), keeps)
        assert torch.equal(rows.flatten(1).all(1), keeps)
        assert torch.equal(mask[f"{layer}norm.bias"], keeps)
    assert pruning.of_channels(mask, scales).keys() == channels.keys()
    pruning.apply_mask(network, mask)
    assert torch.equal(network.eval()(torch.randn(2, 3, 32, 32)), network.output.bias.expand(2, 10))  # cut off

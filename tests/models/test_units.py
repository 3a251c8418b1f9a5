"""Layers of units, and all that belongs to each: what is left without some of them is a smaller network."""

from typing import Any

import pytest
import torch
from torch import nn

from lth_ray import models
from lth_ray.config import ConfigError
from lth_ray.models import unit_layers
from lth_ray.pruning.structured import of_units, with_units

IMAGE = (torch.zeros(1, 3, 32, 32),)


def roles(layer: models.UnitLayer) -> tuple[list[str], list[str], list[str]]:
    return tuple([one.name for one in some] for some in (layer.weights, layer.own, layer.read))  # type: ignore[return-value]


def test_a_chain_of_convolutions() -> None:
    layers = unit_layers(models.build("cifar_vgg11_4"), IMAGE)
    assert [(layer.size, layer.stage) for layer in layers] == [
        (4, (32, 32)), (8, (16, 16)), (16, (8, 8)), (16, (8, 8)), (32, (4, 4)), (32, (4, 4)), (32, (2, 2)), (32, (2, 2))
    ]  # fmt: skip
    assert {layer.kind for layer in layers} == {"channels"}
    norm = ["layers.7.norm.weight", "layers.7.norm.bias"]
    assert roles(layers[-1]) == (["layers.7.conv.weight"], norm, ["output.weight"])
    assert [one.name for one in layers[-1].scales] == norm[:1]


def test_what_a_shortcut_adds_is_one_layer() -> None:
    layers = {layer.name: layer for layer in unit_layers(models.build("cifar_resnet20_4"), IMAGE)}
    stream = layers["conv.weight"]
    assert roles(stream)[0] == ["conv.weight", *(f"blocks.{i}.conv2.weight" for i in range(3))]
    assert roles(stream)[2] == [*(f"blocks.{i}.conv1.weight" for i in range(4)), "blocks.3.shortcut.weight"]
    assert roles(layers["blocks.1.conv1.weight"])[2] == ["blocks.1.conv2.weight"]
    assert len(layers) == 9 + 3


class Attention(nn.Module):
    """Tokens [B, 6, 8] -> logits: four heads of two, and eleven hidden neurons."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 4, batch_first=True)
        self.hidden, self.output = nn.Linear(8, 11), nn.Linear(11, 3)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        seen = self.attention(tokens, tokens, tokens, need_weights=False)[0]
        logits: torch.Tensor = self.output(torch.relu(self.hidden(seen.mean(1))))
        return logits


class Grouped(nn.Module):
    """A grouped convolution, whose groups are units, a depthwise one, and a concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.grouped = nn.Conv2d(3, 12, 3, padding=1), nn.Conv2d(12, 8, 3, padding=1, groups=4)
        self.other, self.depthwise = nn.Conv2d(3, 5, 1), nn.Conv2d(5, 5, 3, padding=1, groups=5)
        self.last = nn.ConvTranspose2d(13, 3, 2, stride=2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        both = self.grouped(torch.sigmoid(self.first(images))), self.depthwise(self.other(images))
        return self.last(torch.cat(both, 1)).mean((2, 3))  # type: ignore[no-any-return]


def test_kinds() -> None:
    layers = unit_layers(Attention(), (torch.zeros(1, 6, 8),))
    found = {layer.name: (layer.kind, layer.size) for layer in layers}
    assert found["attention.in_proj_weight"] == ("heads", 4)
    assert found["hidden.weight"] == ("neurons", 11)
    found = {layer.name: (layer.kind, layer.size) for layer in unit_layers(Grouped(), IMAGE, "channels")}
    assert found == {"first.weight": ("channels", 4), "other.weight": ("channels", 5)}
    (recurrent,) = unit_layers(Recurrent(), (torch.zeros(1, 5, 3),))
    assert (recurrent.name, recurrent.kind, recurrent.size) == ("cell.weight_ih_l0", "neurons", 7)
    assert roles(recurrent)[2] == ["cell.weight_hh_l0", "output.weight"]


class Recurrent(nn.Module):
    """Tokens [B, 5, 3] -> logits by one LSTM of seven units."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.output = nn.LSTM(3, 7, batch_first=True), nn.Linear(7, 2)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.output(self.cell(tokens)[0][:, -1])
        return logits


NETWORKS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "vgg": (lambda: models.build("cifar_vgg11_4", seed=0), (3, 32, 32)),
    "resnet": (lambda: models.build("cifar_resnet20_4", seed=0), (3, 32, 32)),
    "preresnet": (lambda: models.build("cifar_preresnet29_4", seed=0), (3, 32, 32)),
    "attention": (Attention, (6, 8)),
    "grouped": (Grouped, (3, 16, 16)),
    "recurrent": (Recurrent, (5, 3)),
}


@pytest.mark.parametrize("way", ["made", "read"])
@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_of_a_removed_unit_is_left_in_what_the_network_computes(name: str, way: str) -> None:
    """Whatever is written to what makes it, or to what reads it, as long as the other is zero."""
    make, shape = NETWORKS[name]
    torch.manual_seed(0)
    network = make().double().eval()
    layers = unit_layers(network, (torch.zeros(1, *shape),))
    parameters = dict(network.named_parameters())
    kept = {layer.name: torch.arange(layer.size) % 3 != 0 for layer in layers}
    mask = with_units(kept, layers, parameters)
    assert list(mask) == [one for one in parameters if one in mask]
    assert all(torch.equal(kept[one], units) for one, units in of_units(mask, layers).items())
    with torch.no_grad():
        for one in mask:
            parameters[one].mul_(mask[one])
    inputs = torch.randn(2, *shape, dtype=torch.double)
    before = network(inputs)
    with torch.no_grad():
        for layer in layers:
            for one in layer.read if way == "read" else (*layer.weights, *layer.own):
                one.fill(parameters[one.name], ~kept[layer.name], 7.0)
        if way == "made":  # such weights have units along both axes
            for layer in layers:
                for one in layer.read:
                    one.fill(parameters[one.name], ~kept[layer.name], 0.0)
        elif name == "grouped":  # of a sigmoid, which makes .5 of a removed unit's 0
            parameters["grouped.weight"].mul_(mask["grouped.weight"])
    assert torch.allclose(network(inputs), before, atol=1e-12)


def test_image_sizes_of_a_network_that_cannot_be_called_without_numbers() -> None:
    class Branching(nn.Conv2d):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return super().forward(images) if images.sum() > 0 else images

    with pytest.raises(ConfigError, match="Branching cannot be called without numbers"):
        models.image_sizes(Branching(3, 2, 3), IMAGE)


def test_a_structure_that_the_network_has_not() -> None:
    with pytest.raises(ConfigError, match=r"Prune.structure = 'heads': the network has no layer .*; it has channels"):
        unit_layers(models.build("cifar_vgg11_4"), IMAGE, "heads")
    with pytest.raises(ConfigError, match="and none of any other kind"):
        unit_layers(nn.Linear(3, 2), (torch.zeros(1, 3),))

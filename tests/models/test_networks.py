"""Sizes and shapes of our own networks, against the papers' tables."""

import pytest
import torch

from lth_ray import models
from lth_ray.config import ConfigError

# name, weights, of which in convolutions (Frankle & Carbin 2019, figure 2; exact by the stated layers)
SIZES = [
    ("lenet_300_100", 266_200, 0),
    ("conv2", 4_300_992, 38_592),
    ("conv4", 2_425_024, 259_776),
    ("conv6", 2_261_184, 1_144_512),
    ("cifar_resnet20", 270_896, 270_256),
    ("cifar_resnet56", 851_504, 850_864),
    ("cifar_preresnet101", 1_039_280, 1_036_720),
    ("cifar_preresnet164", 1_679_024, 1_676_464),
    ("cifar_densenet40", 1_040_568, 1_036_008),
    ("cifar_vgg16", 14_715_584, 14_710_464),
    ("cifar_vgg19", 20_024_000, 20_018_880),
    ("policy_256_256_256", 134_656, 0),
    ("atari_policy", 1_688_576, 77_824),
]


@pytest.mark.parametrize(("name", "weights", "convolutional"), SIZES)
def test_numbers_of_weights(name, weights, convolutional):
    prunable = models.prunable(models.build(name))
    assert sum(weight.numel() for weight in prunable.values()) == weights
    assert sum(weight.numel() for weight in prunable.values() if weight.dim() == 4) == convolutional


def test_resnet20_keeps_2560_shortcut_and_640_output_weights():
    model = models.build("cifar_resnet20")
    prunable = models.prunable(model)
    assert sum(weight.numel() for name, weight in prunable.items() if ".shortcut." in name) == 2560
    assert prunable["output.weight"].numel() == 640
    assert 271_000 <= sum(parameter.numel() for parameter in model.parameters()) <= 274_000
    assert sum(weight.dim() == 4 for name, weight in prunable.items() if ".shortcut." not in name) == 19


@pytest.mark.parametrize("depth", [20, 32, 44, 56, 110])
def test_a_resnets_depth_counts_its_layers_without_shortcuts(depth):
    prunable = models.prunable(models.build(f"cifar_resnet{depth}_2"))
    assert sum(".shortcut." not in name for name in prunable) == depth


@pytest.mark.parametrize("depth", [11, 13, 16, 19])
def test_a_vggs_convolutions(depth):
    prunable = models.prunable(models.build(f"cifar_vgg{depth}_2"))
    assert len(prunable) == depth - 2  # the ImageNet network's three output layers are one here


NAMES = {
    "lenet_300_100": ["fc1", "fc2", "output"],
    "lenet_30_20_10": ["fc1", "fc2", "fc3", "output"],
    "conv4": ["conv1", "conv2", "conv3", "conv4", "fc1", "fc2", "output"],
    "cifar_resnet8_4": [
        "conv", "blocks.0.conv1", "blocks.0.conv2", "blocks.1.conv1", "blocks.1.conv2", "blocks.1.shortcut",
        "blocks.2.conv1", "blocks.2.conv2", "blocks.2.shortcut", "output",
    ],
    "cifar_vgg11_4": [*(f"layers.{i}.conv" for i in range(8)), "output"],
    "policy_128_128_128": ["fc1", "fc2", "fc3", "policy", "value"],
    "atari_policy": ["conv1", "conv2", "conv3", "fc", "policy", "value"],
}  # fmt: skip


@pytest.mark.parametrize(("name", "layers"), NAMES.items())
def test_parameter_names_are_in_order_of_registration(name, layers):
    assert list(models.prunable(models.build(name))) == [f"{layer}.weight" for layer in layers]


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("lenet_300_100", (1, 8, 8)), ("lenet_20", (3, 5, 7)), ("conv2", (1, 8, 8)), ("conv6", (3, 32, 32)),
        ("conv6", (1, 28, 28)), ("cifar_resnet20_4", (3, 32, 32)), ("cifar_resnet20_4", (1, 28, 28)),
        ("cifar_preresnet29_4", (3, 32, 32)),
        ("cifar_vgg11_4", (3, 32, 32)), ("cifar_vgg11_4", (1, 28, 28)),
        ("policy_8_8", (5,)), ("policy_8", (3, 2)), ("atari_policy_2", (4, 84, 84)), ("atari_policy_2", (1, 36, 40)),
    ],
)  # fmt: skip
def test_logits_for_any_image_shape(name, shape):
    model = models.build(name, num_classes=7, input_shape=shape, seed=0)
    assert model(torch.rand(3, *shape)).shape == (3, 7)


def test_width_scales_every_stage():
    prunable = models.prunable(models.build("cifar_resnet20_32"))
    assert [prunable[f"blocks.{i}.conv2.weight"].shape[0] for i in (0, 3, 6)] == [32, 64, 128]
    assert models.prunable(models.build("cifar_vgg19_8"))["output.weight"].shape == (10, 64)


def test_dropout_acts_in_training_only():
    model = models.build("conv2", input_shape=(1, 8, 8), seed=0, dropout=0.5)
    images = torch.rand(2, 1, 8, 8)
    assert not torch.equal(model(images), model(images))
    model.eval()
    assert torch.equal(model(images), model(images))


@pytest.mark.parametrize("probability", [-0.1, 1.0])
def test_a_dropout_that_is_no_probability(probability):
    with pytest.raises(ConfigError, match="dropout"):
        models.build("conv2", dropout=probability)


@pytest.mark.parametrize(("name", "side", "least"), [("conv6", 7, 8), ("cifar_vgg11_4", 8, 16)])
def test_an_image_too_small_to_pool(name, side, least):
    with pytest.raises(ConfigError, match=f"{side}x{side}.*{least}x{least}"):
        models.build(name, input_shape=(3, side, side))


def test_linear_projections_of_attention_are_prunable_and_shared_weights_named_once():
    class Tied(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = torch.nn.Embedding(5, 4)
            self.attention = torch.nn.MultiheadAttention(4, 2)
            self.first = torch.nn.Linear(4, 4)
            self.second = torch.nn.Linear(4, 4)
            self.second.weight = self.first.weight
            self.norm = torch.nn.LayerNorm(4)

    expected = ["attention.in_proj_weight", "attention.out_proj.weight", "first.weight"]
    assert list(models.prunable(Tied())) == expected

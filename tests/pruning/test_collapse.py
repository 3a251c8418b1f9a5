"""Layer collapse: empty layers, and whether a path leads through a network."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lth_ray import models, pruning
from lth_ray.pruning.collapse import collapse, is_connected

IMAGE = (torch.zeros(1, 3, 8, 8),)


class Small(nn.Module):
    """A convolution, pooling, a linear layer; with a way around the second convolution or without."""

    def __init__(self, activation=nn.ReLU, goes_around=False):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.norm, self.act = nn.BatchNorm2d(4), activation()
        self.out = nn.Linear(4, 5)
        self.goes_around = goes_around
        nn.init.constant_(self.one.bias, 1.0)
        nn.init.constant_(self.norm.bias, 1.0)

    def forward(self, x):
        x = self.act(self.one(x))
        y = self.act(self.norm(self.two(x)))
        x = x + y if self.goes_around else y
        return self.out(F.max_pool2d(x, 8).flatten(1))


def thin(model):
    """The one path through channel 2, then 3, to output 4."""
    mask = {name: torch.zeros_like(keeps) for name, keeps in pruning.dense_mask(model).items()}
    mask["one.weight"][2, 1, 1, 1] = mask["two.weight"][3, 2, 0, 0] = mask["out.weight"][4, 3] = True
    return mask


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Sigmoid, nn.Tanh, nn.GELU, nn.SiLU])
def test_one_path_is_enough_and_biases_are_none(activation):
    model = Small(activation)
    mask = thin(model)
    assert is_connected(model, mask, IMAGE)
    for name, place in {"one.weight": (2, 1, 1, 1), "two.weight": (3, 2, 0, 0), "out.weight": (4, 3)}.items():
        cut = {n: keeps.clone() for n, keeps in mask.items()}
        cut[name][place] = False
        assert not is_connected(model, cut, IMAGE), name
    beside = {n: keeps.clone() for n, keeps in mask.items()}
    beside["two.weight"][3, 2, 0, 0], beside["two.weight"][3, 1, 0, 0] = False, True  # every layer has a weight
    found = collapse(model, beside, IMAGE)
    assert found == {
        "empty_layers": 0, "cut": True, "lowest_layer_density": 1 / 144, "max_compression": (108 + 144 + 20) / 3,
    }  # fmt: skip


def test_biases_and_scales_of_emptied_channels_are_no_layers():
    model = Small()
    full = pruning.dense_mask(model, [name for name, _ in model.named_parameters()])
    mask = full | {
        name: torch.zeros_like(full[name]) for name in ("two.weight", "two.bias", "norm.weight", "norm.bias")
    }
    found = collapse(model, mask, IMAGE)
    assert (found["empty_layers"], found["cut"], found["max_compression"]) == (1, True, (108 + 144 + 20) / 3)
    scales = pruning.dense_mask(model, ["norm.weight"])
    assert collapse(model, scales, IMAGE)["max_compression"] == 4


@pytest.mark.parametrize("activation", [nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.ReLU6])
def test_activations_that_are_flat_from_1_on_cut_nothing(activation):
    model = Small(activation)
    assert is_connected(model, thin(model), IMAGE)


def test_attention_without_inputs_is_cut_whatever_its_biases():
    class Attending(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.attention, self.out = nn.Embedding(7, 8), nn.MultiheadAttention(8, 2), nn.Linear(8, 2)

        def forward(self, words):
            x = self.words(words)
            return self.out(self.attention(x, x, x)[0])

    model, words = Attending(), (torch.zeros(1, 3, dtype=torch.int64),)
    mask = pruning.dense_mask(model)
    assert is_connected(model, mask, words)
    mask["attention.in_proj_weight"][:] = False
    assert not is_connected(model, mask, words)


def test_a_way_around_an_empty_layer():
    model = Small(goes_around=True)
    mask = thin(model)
    mask["two.weight"][:] = False
    mask["out.weight"][4, 2] = True
    found = collapse(model, mask, IMAGE)
    assert (found["empty_layers"], found["cut"], found["lowest_layer_density"]) == (1, False, 0.0)


def test_depth_is_no_obstacle():
    """A weight a layer in 60 layers, beside a way that carries thousands of times as much and ends."""
    model = nn.Sequential(*[nn.Linear(100, 100) for _ in range(60)])
    mask = {name: torch.ones_like(keeps) for name, keeps in pruning.dense_mask(model).items()}
    for i in range(60):
        mask[f"{i}.weight"][0, 1:] = False
        mask[f"{i}.weight"][1:, 0] = False
    mask["59.weight"][1:] = False
    assert is_connected(model, mask, (torch.zeros(1, 100),))
    mask["30.weight"][0, 0] = False
    assert not is_connected(model, mask, (torch.zeros(1, 100),))


def test_words_and_attention():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.Sequential(nn.Embedding(7, 8), layer, nn.Flatten(), nn.Linear(24, 2))
    mask = pruning.dense_mask(model)
    words = (torch.zeros(1, 3, dtype=torch.int64),)
    assert is_connected(model, mask, words)
    mask["3.weight"][:] = False
    assert not is_connected(model, mask, words)


@pytest.mark.parametrize("name", ["cifar_resnet8_4", "cifar_vgg11_4", "conv2", "lenet_20_10"])
def test_networks_are_left_as_they_were(name):
    shape = (1, 28, 28) if name.startswith("lenet") else (3, 32, 32)
    model = models.build(name, input_shape=shape, seed=0)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    mask, example = pruning.dense_mask(model), (torch.zeros(1, *shape),)
    assert collapse(model, mask, example)["cut"] is False
    last = list(mask)[-1]
    assert collapse(model, mask | {last: torch.zeros_like(mask[last])}, example)["cut"] is True
    assert model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())

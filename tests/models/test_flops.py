"""Operations of networks, against counts by hand."""

import pytest
import torch
from torch import nn

from lth_ray import models
from lth_ray.models.flops import forward_flops, uses_of_weights


def flops(model, shape, mask=None):
    return forward_flops(model, uses_of_weights(model, (torch.zeros(1, *shape),)), mask)


BY_HAND = [  # name, input, multiplications with additions
    ("lenet_300_100", (1, 28, 28), 784 * 300 + 300 * 100 + 100 * 10),
    # conv2: two convolutions at 32x32, one pooling by 2, then 16 x 16 x 64 inputs to the first linear layer
    ("conv2", (3, 32, 32), 1024 * (27 * 64 + 576 * 64) + 16384 * 256 + 256 * 256 + 2560),
    # the stages of a ResNet halve the image; its first convolution and the stride are in the places counted
    ("cifar_resnet8_4", (3, 32, 32), 1024 * (108 + 2 * 144) + 256 * (288 + 576 + 32) + 64 * (1152 + 2304 + 128) + 160),
]  # fmt: skip


@pytest.mark.parametrize(("name", "shape", "expected"), BY_HAND)
def test_a_multiplication_and_an_addition_for_each_use_of_a_weight(name, shape, expected):
    assert flops(models.build(name, input_shape=shape), shape) == 2 * expected


def test_published_sizes():
    """ResNet-50's 4.1 billion multiplications with additions at 224 x 224, ResNet-56's 125 million on CIFAR-10."""
    assert flops(models.build("resnet50", num_classes=1000), (3, 224, 224)) == pytest.approx(2 * 4.1e9, rel=0.01)
    assert flops(models.build("cifar_resnet56"), (3, 32, 32)) == pytest.approx(2 * 125e6, rel=0.02)


def test_only_kept_weights_count():
    model = models.build("lenet_20_10", input_shape=(1, 8, 8))
    mask = {"fc1.weight": torch.zeros(20, 64).bool(), "output.weight": torch.ones(10, 10).bool()}
    mask["fc1.weight"][:, :7] = True
    assert flops(model, (1, 8, 8), mask) == 2 * (20 * 7 + 20 * 10 + 10 * 10)
    assert flops(model, (1, 8, 8), {name: torch.zeros_like(m) for name, m in mask.items()}) == 2 * 20 * 10


def test_groups_strides_and_weights_used_twice():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.depthwise = nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=4)
            self.each = nn.Linear(4, 4)  # applied to each of the 16 places, and again

        def forward(self, images):
            return self.each(self.each(self.depthwise(images).flatten(2).transpose(1, 2))).mean(1)

    assert uses_of_weights(Twice(), (torch.zeros(1, 4, 8, 8),)) == {"depthwise.weight": 16, "each.weight": 32}
    assert flops(Twice(), (4, 8, 8)) == 2 * (16 * 4 * 9 + 32 * 16)


def test_projections_of_attention_are_used_once_a_token():
    class Attends(nn.Module):
        def __init__(self, **options):
            super().__init__()
            self.attention = nn.MultiheadAttention(4, 2, batch_first=True, **options)
            self.output = nn.Linear(4, 10)

        def forward(self, images):
            tokens = images.flatten(2).transpose(1, 2)  # 9 of 4 features
            return self.output(self.attention(tokens, tokens, tokens, need_weights=False)[0].mean(1))

    projections = 9 * (3 * 4 * 4 + 4 * 4)
    assert flops(Attends(), (4, 3, 3)) == flops(Attends(kdim=4, vdim=4), (4, 3, 3)) == 2 * (projections + 40)
    # of a vision transformer with 50 tokens: 12 blocks of 4 x 768 x 768 and 2 x 768 x 3072, patches, output layer
    blocks = 12 * 50 * (4 * 768 * 768 + 2 * 768 * 3072)
    vit = models.build("vit_b_32", num_classes=1000)
    assert flops(vit, (3, 224, 224)) == 2 * (blocks + 49 * 3 * 32 * 32 * 768 + 768 * 1000)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("look", [uses_of_weights, models.scales, models.unit_layers])
def test_looking_at_a_network_leaves_it_as_it_was(look, training):
    """Each module in a mode of its own: frozen batch norms stay so."""
    model = models.build("cifar_resnet8_4", seed=0).train(training)
    model.blocks[0].train(not training)
    modes = [module.training for module in model.modules()]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    look(model, (torch.zeros(1, 3, 32, 32),))
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


class Reader(nn.Module):
    """Looks tokens up, reads them one after another, and gives what the same table says."""

    also_prunable = ("table.weight", "reader.weight_*")

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(11, 6)
        self.reader = nn.LSTM(6, 6, batch_first=True)
        self.output = nn.Linear(6, 11)
        self.output.weight = self.table.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.output(self.reader(self.table(tokens))[0])
        return logits


def test_a_module_names_what_else_is_prunable_and_recurrent_weights_are_used_once_a_token() -> None:
    model = Reader()
    assert list(models.prunable(model)) == ["table.weight", "reader.weight_ih_l0", "reader.weight_hh_l0"]
    uses = uses_of_weights(model, (torch.zeros(1, 5, dtype=torch.int64),))
    assert uses == dict.fromkeys(models.prunable(model), 5)
    assert forward_flops(model, uses) == 2 * 5 * (11 * 6 + 2 * 24 * 6)

"""The dependency graph says where the units of a network have their places."""

import pytest
import torch
from torch import nn
from torchvision import models as zoo

from lth_ray.models import coupled


def test_where_units_have_their_places():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3), nn.Linear(3, 2))
    coupling = coupled(model, (torch.zeros(1, 1, 4, 4),))
    assert coupling.sizes == (2, 3)
    found = {name: [axis.tolist() for axis in axes] for name, axes in coupling.units.items()}
    assert found == {
        "0.weight": [[0, 1], [-1], [-1] * 3, [-1] * 3], "0.bias": [[0, 1]],
        "1.weight": [[0, 1]], "1.bias": [[0, 1]], "1.running_mean": [[0, 1]], "1.running_var": [[0, 1]],
        "3.weight": [[2, 3, 4], [0] * 4 + [1] * 4], "3.bias": [[2, 3, 4]], "4.weight": [[-1, -1], [2, 3, 4]],
    }  # fmt: skip
    assert [{g: p.tolist() for g, p in axis.items()} for axis in coupling.places("3.weight")] == [
        {1: [[0], [1], [2]]}, {0: [[0, 1, 2, 3], [4, 5, 6, 7]]},
    ]  # fmt: skip


def test_a_head_is_a_unit_in_the_three_projections_and_the_output():
    layer = nn.TransformerEncoderLayer(8, 2, 5, batch_first=True)
    coupling = coupled(nn.Sequential(nn.Linear(3, 8), layer, nn.Linear(8, 2)), (torch.zeros(1, 4, 3),))
    assert coupling.sizes == (8, 2, 5)
    heads = [8] * 4 + [9] * 4
    assert coupling.units["1.self_attn.in_proj_weight"][0].tolist() == heads * 3
    assert coupling.units["1.self_attn.in_proj_bias"][0].tolist() == heads * 3
    assert coupling.units["1.self_attn.out_proj.weight"][1].tolist() == heads
    assert coupling.units["1.self_attn.in_proj_weight"][1].tolist() == list(range(8))


def test_the_auxiliary_classifiers_move_with_the_network():
    with torch.device("meta"):
        model = zoo.GoogLeNet(num_classes=3, init_weights=False)
    assert model.training
    coupling = coupled(model, (torch.zeros(1, 3, 64, 64),))
    assert model.training
    assert all(module.training for module in model.modules())
    into = coupling.units["inception4b.branch1.conv.weight"][1]
    assert coupling.units["aux1.conv.conv.weight"][1].tolist() == into.tolist()
    assert min(into) >= 0


def test_an_encoder_of_transformers():
    transformers = pytest.importorskip("transformers", reason='pip install "lth_ray[text]"')
    config = transformers.BertConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, vocab_size=30
    )
    tokens = torch.randint(2, 30, (2, 7), generator=torch.Generator().manual_seed(0))
    network = transformers.BertForSequenceClassification(config)
    coupling = coupled(network, (tokens[:1],))
    assert sorted(coupling.sizes) == [2, 2, 16, 16, 24, 24]  # heads; the stream and what is pooled of it; hidden units

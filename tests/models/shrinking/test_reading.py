"""The units that a smaller network is without, on networks made by hand."""

from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lth_ray import pruning
from lth_ray.config import ConfigError
from lth_ray.models import scales
from lth_ray.models.shrinking import build_small, shrink, shrinking
from tests.models.shrinking.masked import size_of, under, without_units

IMAGE = (torch.zeros(1, 1, 6, 6),)


def convolutions(activation=nn.ReLU, **options):
    """A convolution of 4 channels with batch norm, and one that reads it."""
    torch.manual_seed(0)
    layers = {"conv": nn.Conv2d(1, 4, 3, **options), "norm": nn.BatchNorm2d(4), "act": activation()}
    layers |= {"last": nn.Conv2d(4, 2, 3), "flat": nn.Flatten(), "out": nn.Linear(8, 2)}
    network = nn.Sequential(OrderedDict(layers))
    with torch.no_grad():
        network.norm.bias.uniform_(0.5, 1.0)
        network.norm.running_mean.uniform_(0.5, 1.0)
    return network


def rows(network, names, gone):
    """A mask without some positions along the first axis of some parameters."""
    mask = {}
    for name in names:
        mask[name] = torch.ones_like(network.get_parameter(name), dtype=torch.bool)
        mask[name][gone] = False
    return mask


def test_what_is_kept_keeps_its_values_and_its_order():
    network = convolutions()
    mask = rows(network, ["conv.weight", "conv.bias", "norm.weight", "norm.bias"], [1, 3])
    small = shrink(network, mask, IMAGE)
    for name in ("conv.weight", "conv.bias", "norm.weight", "norm.bias", "norm.running_mean"):
        assert torch.equal(small.state_dict()[name], network.state_dict()[name][[0, 2]])
    assert torch.equal(small.last.weight, network.last.weight[:, [0, 2]])
    assert torch.equal(small.out.weight, network.out.weight)
    assert (small.conv.out_channels, small.norm.num_features, small.last.in_channels) == (2, 2, 2)
    assert network.conv.out_channels == 4
    images = torch.randn(3, 1, 6, 6)
    torch.testing.assert_close(small.eval()(images), under(network, mask).eval()(images))


@pytest.mark.parametrize(
    "names",
    [
        ["conv.weight", "conv.bias"],  # the shift of batch norm leaks through ReLU
        ["conv.weight", "conv.bias", "norm.weight"],
        ["norm.weight", "norm.bias"],  # its running statistics are still those of what it is given
        ["conv.weight", "norm.weight", "norm.bias"],  # the bias goes on
    ],
)
def test_a_unit_of_which_anything_is_left_stays(names):
    network = convolutions()
    how = shrinking(network, rows(network, names, [1, 3]), IMAGE)
    assert not how.kept
    assert size_of(build_small(network, how)) == size_of(network)


def test_masks_of_batch_norm_scales_leave_columns_that_meet_zeros_alone():
    network = convolutions()
    keeps = {"norm.weight": torch.tensor([True, False, True, False])}
    mask = pruning.channels.with_members(keeps, scales(network, IMAGE), dict(network.named_parameters()))
    assert "last.weight" not in mask
    small = shrink(network, mask, IMAGE)
    assert small.last.weight.shape == (2, 2, 3, 3)
    images = torch.randn(3, 1, 6, 6)
    torch.testing.assert_close(small.train()(images), under(network, mask).train()(images))


def test_the_last_unit_of_a_layer_stays_with_zeros():
    network = convolutions()
    mask = rows(network, ["conv.weight", "conv.bias", "norm.weight", "norm.bias"], [0, 1, 2, 3])
    small = shrink(network, mask, IMAGE)
    assert small.conv.weight.shape == (1, 1, 3, 3)
    assert not small.conv.weight.any()
    images = torch.randn(3, 1, 6, 6)
    torch.testing.assert_close(small.eval()(images), under(network, mask).eval()(images))


@pytest.mark.parametrize("activation", [nn.Sigmoid, nn.Softplus, lambda: nn.Softmax(1)])
def test_units_that_are_read_as_other_than_zeros_stay(activation):
    network = convolutions(activation)
    mask = rows(network, ["conv.weight", "conv.bias", "norm.weight", "norm.bias"], [0])
    how = shrinking(network, mask, IMAGE)
    assert not how.kept
    assert list(how.left_in) == ["conv"]
    whole = without_units(network, IMAGE, 4, groups={0})  # with the columns that read them, some may go
    assert bool(shrinking(network, whole, IMAGE).kept) != isinstance(network.act, nn.Softmax)


def test_a_group_of_group_norm_goes_whole_or_not_at_all():
    network, made = convolutions(lambda: nn.GroupNorm(2, 4)), ["conv.weight", "conv.bias", "norm.weight", "norm.bias"]
    made += ["act.weight", "act.bias"]
    assert not shrinking(network, rows(network, made, [0, 2]), IMAGE).kept
    mask = rows(network, made, [0, 1])
    small = shrink(network, mask, IMAGE)
    assert (small.act.num_groups, small.act.num_channels, small.conv.out_channels) == (1, 2, 2)
    images = torch.randn(3, 1, 6, 6)
    torch.testing.assert_close(small.train()(images), under(network, mask).train()(images))


class Mean(nn.Module):
    """The mean over units, in whose denominator those count that are zero."""

    def __init__(self):
        super().__init__()
        self.hidden, self.out = nn.Linear(5, 6), nn.Linear(1, 2)

    def forward(self, inputs):
        return self.out(torch.relu(self.hidden(inputs)).mean(1, keepdim=True))


def test_a_mean_over_units_keeps_them():
    network = Mean()
    how = shrinking(network, rows(network, ["hidden.weight", "hidden.bias"], [2]), (torch.zeros(1, 5),))
    assert not how.kept
    assert "something else" in how.left_in["hidden"]


class FixedSize(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.out, self.other = nn.Conv2d(1, 4, 3), nn.Linear(64, 8), nn.Linear(8, 2)

    def forward(self, images):
        return self.other(torch.relu(self.out(torch.relu(self.conv(images)).view(-1, 64))))


def test_a_layer_whose_size_the_networks_own_code_fixes_stays_and_others_go():
    network = FixedSize()
    mask = without_units(network, IMAGE, 2)
    how = shrinking(network, mask, IMAGE)
    assert list(how.left_in) == ["conv"]
    small = build_small(under(network, mask), how)
    assert (small.conv.out_channels, small.out.out_features) == (4, 4)


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(5, 6)

    def forward(self, inputs):
        return self.hidden(inputs) if inputs.sum() > 0 else inputs


def test_a_network_that_cannot_be_read_is_refused_by_name():
    with pytest.raises(ConfigError, match="Branching cannot be called without numbers"):
        shrinking(Branching(), {"hidden.weight": torch.ones(6, 5, dtype=torch.bool)}, (torch.zeros(1, 5),))


@pytest.mark.parametrize("dropout", [nn.Dropout, nn.Dropout2d])
def test_dropout_draws_what_the_whole_network_draws(dropout):
    network = convolutions(lambda: nn.Sequential(nn.ReLU(), dropout(0.5)))
    mask = without_units(network, IMAGE, 2)
    how = shrinking(network, mask, IMAGE)
    assert [one[0] for one in how.drawn["act.1"] if one is not None] == [4]
    images, found = torch.randn(64, 1, 6, 6), []
    masked = under(network, mask)
    for model in (masked, build_small(masked, how, draws_as_whole=True), build_small(masked, how)):
        torch.manual_seed(2)
        found.append(model.train()(images))
    torch.testing.assert_close(found[1], found[0])
    assert not torch.allclose(found[2], found[0])


class Attending(nn.Module):
    padded = False  # while units are read: nn.MultiheadAttention repeats padding for each head, which is then fixed

    def __init__(self, **options):
        super().__init__()
        self.table = nn.Embedding(7, 12)
        self.attention = nn.MultiheadAttention(12, 4, **options)
        self.out = nn.Linear(12, 3)

    def forward(self, words):
        x = self.table(words)
        padding = words == 0 if self.padded else None
        mask = torch.ones(words.shape[1], words.shape[1], dtype=torch.bool, device=words.device).triu(1)
        mask[:, 0] = False
        given = x if self.attention.batch_first else x.transpose(0, 1)
        found, _ = self.attention(given, given, given, key_padding_mask=padding, attn_mask=mask)
        found = found if self.attention.batch_first else found.transpose(0, 1)
        return self.out(x + found)


@pytest.mark.parametrize(
    "options", [{}, {"batch_first": True}, {"dropout": 0.3}, {"bias": False, "kdim": 12, "vdim": 12}]
)
def test_heads_of_attention_with_masks_padding_and_dropout(options):
    torch.manual_seed(0)
    network = Attending(**options)
    words = torch.tensor([[1, 2, 3, 0], [4, 5, 6, 1]])
    mask = without_units(network, (words,), 4, groups={1})
    how = shrinking(network, mask, (words,))
    small = build_small(under(network, mask), how, draws_as_whole=True)
    assert (small.attention.num_heads, small.attention.out_proj.in_features) == (3, 9)
    for mode in (False, True):
        found = []
        for model in (small, under(network, mask)):
            model.padded = True
            torch.manual_seed(3)
            found.append(model.train(mode)(words))
        torch.testing.assert_close(found[0], found[1])


def test_recurrent_layers():
    torch.manual_seed(0)

    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.lstm, self.out = nn.Embedding(7, 6), nn.LSTM(6, 9, batch_first=True), nn.Linear(9, 3)

        def forward(self, words):
            return self.out(self.lstm(self.table(words))[0])

    network, words = Reader(), torch.tensor([[1, 2, 3, 0], [4, 5, 6, 1]])
    mask = without_units(network, (words,))
    small = shrink(network, mask, (words,))
    assert (small.lstm.input_size, small.lstm.hidden_size, small.out.in_features) == (4, 6, 6)
    torch.testing.assert_close(small(words), under(network, mask)(words))


def test_a_network_is_left_as_it_was():
    network = convolutions()
    before = F.relu(network.conv.weight).clone(), network.training
    shrink(network, without_units(network, IMAGE), IMAGE)
    assert torch.equal(F.relu(network.conv.weight), before[0])
    assert network.training == before[1]

"""Alignment by weight matching: it keeps a network's function and undoes a permutation of its units."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lth_ray import models
from lth_ray.analysis import align, hidden_units, l2_distance
from lth_ray.analysis.alignment import match, reorder
from lth_ray.analysis.units import Units
from lth_ray.config import ConfigError

NETWORKS = {
    "lenet_300_100": (1, 28, 28), "lenet_12_9_7": (1, 8, 8), "conv2_8": (3, 32, 32), "cifar_vgg11_4": (3, 32, 32),
    "cifar_vgg19_8": (3, 32, 32), "cifar_resnet20": (3, 32, 32),
}  # fmt: skip


def network(name, seed):
    """In evaluation mode, with biases and batch norm that tell units apart."""
    model = models.build(name, input_shape=NETWORKS[name], seed=seed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in (value for key, value in model.state_dict().items() if key.endswith(("bias", "running_mean"))):
            value.normal_(0, 0.1, generator=generator)
        for key, value in model.state_dict().items():
            if "norm" in key and key.endswith(("weight", "running_var")):
                value.uniform_(0.8, 1.2, generator=generator)
    return model


def clone(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def permuted(model, seed):
    """Its state with every group of units in a random order."""
    generator, units = torch.Generator().manual_seed(seed), hidden_units(model)
    orders = [torch.randperm(size, generator=generator) for size in units.sizes]
    return {
        name: reorder(value, units.axes[name], orders) if name in units.axes else value.clone()
        for name, value in model.state_dict().items()
    }


@torch.no_grad()
def outputs(model, state, shape):
    model.load_state_dict(state)
    return model(torch.randn(3, *shape, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_permuted_copy_computes_the_same_and_is_aligned_with_the_original(name):
    model = network(name, 1)
    original = clone(model)
    shuffled = permuted(model, 2)
    assert l2_distance(original, shuffled) > 1
    before = outputs(model, original, NETWORKS[name])
    assert torch.allclose(outputs(model, shuffled, NETWORKS[name]), before, rtol=1e-4, atol=1e-4)
    aligned = align(model, original, shuffled)
    assert l2_distance(original, aligned, names=original) == 0.0
    assert list(aligned) == list(original)


@pytest.mark.parametrize("name", ["lenet_12_9_7", "conv2_8", "cifar_vgg11_4", "cifar_resnet20"])
def test_another_network_keeps_its_function_and_comes_nearer(name):
    model = network(name, 1)
    a, b = clone(model), clone(network(name, 2))
    given_a, given_b = ({key: value.clone() for key, value in state.items()} for state in (a, b))
    aligned = align(model, a, b)
    assert all(torch.equal(a[key], given_a[key]) and torch.equal(b[key], given_b[key]) for key in a)
    weights = [key for key, _ in model.named_parameters()]
    assert l2_distance(a, aligned, weights) < l2_distance(a, b, weights)
    expected = outputs(model, b, NETWORKS[name])
    assert torch.allclose(outputs(model, aligned, NETWORKS[name]), expected, rtol=1e-3, atol=1e-3)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 2**63 - 1))
def test_the_order_of_b_does_not_matter_where_the_match_is_clear(seed, align_seed):
    model = network("lenet_12_9_7", 1)
    a = clone(model)
    noise = torch.Generator().manual_seed(seed)
    b = {name: value + 0.01 * torch.randn(value.shape, generator=noise) for name, value in a.items()}
    model.load_state_dict(b)
    shuffled = permuted(model, seed)
    aligned = align(model, a, shuffled, seed=align_seed)
    assert all(torch.equal(aligned[name], b[name]) for name in b)


def test_equal_seeds_give_equal_alignments_and_no_global_randomness_is_used():
    model = network("lenet_12_9_7", 1)
    a, b = clone(model), clone(network("lenet_12_9_7", 2))
    state = torch.get_rng_state()
    first, second = (align(model, a, b, seed=5) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(torch.get_rng_state(), state)


def test_in_place_it_is_the_dict_that_changes():
    model = network("conv2_8", 1)
    a, b = clone(model), permuted(model, 3)
    tensors = dict(b)
    kept = {name: value.clone() for name, value in b.items()}
    assert align(model, a, b, in_place=True) is b
    assert l2_distance(a, b) == 0.0
    assert all(torch.equal(tensors[name], kept[name]) for name in kept)


def test_no_iteration_leaves_every_unit_in_its_place():
    model = network("lenet_12_9_7", 1)
    shuffled = permuted(model, 2)
    aligned = align(model, clone(model), shuffled, iterations=0)
    assert all(torch.equal(aligned[name], shuffled[name]) for name in shuffled)


def test_a_match_by_hand():
    """Two units of two inputs; b's are a's in the other order, slightly off."""
    units = Units((2,), {"w": (0, None), "bias": (0,), "out": (None, 0)})
    a = {
        "w": torch.tensor([[1.0, 0.0], [0.0, 1.0]]),
        "bias": torch.tensor([1.0, -1.0]),
        "out": torch.tensor([[2.0, 3.0]]),
    }
    b = {
        "w": torch.tensor([[0.0, 1.1], [0.9, 0.0]]),
        "bias": torch.tensor([-1.0, 1.0]),
        "out": torch.tensor([[3.0, 2.0]]),
    }
    (order,) = match(units, a, b, seed=0, iterations=10)
    assert order.tolist() == [1, 0]
    assert reorder(b["w"], units.axes["w"], [order]).tolist() == [[pytest.approx(0.9), 0.0], [0.0, pytest.approx(1.1)]]


def test_a_flattened_image_moves_in_blocks():
    assert reorder(torch.arange(6), (0,), [torch.tensor([2, 0, 1])]).tolist() == [4, 5, 0, 1, 2, 3]


def test_the_groups_of_a_residual_network():
    units = hidden_units(models.build("cifar_resnet20"))
    assert sorted(units.sizes) == [16] * 4 + [32] * 4 + [64] * 4  # the stream of each stage, and its blocks' insides
    stream = units.axes["conv.weight"][0]
    assert units.axes["conv.weight"] == (stream, None, None, None)
    assert {units.axes[f"blocks.{i}.conv2.weight"][0] for i in range(3)} == {stream}
    assert units.axes["blocks.3.shortcut.weight"][1] == stream
    assert units.axes["blocks.3.shortcut.weight"][0] == units.axes["blocks.5.conv2.weight"][0]
    assert units.axes["norm.running_var"] == (stream,)
    assert units.axes["output.weight"][0] is None
    assert "output.bias" not in units.axes
    assert "norm.num_batches_tracked" not in units.axes


class Shared(nn.Module):
    """One layer used twice, whose inputs and outputs are therefore the same units; and under two names."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 5)
        self.middle = nn.Linear(5, 5)
        self.again = self.middle
        self.output = nn.Linear(5, 2)

    def forward(self, x):
        x = torch.relu(self.first(x))
        return self.output(torch.relu(self.again(torch.relu(self.middle(x)))))


def test_a_layer_that_is_used_twice():
    torch.manual_seed(0)
    model = Shared()
    units = hidden_units(model)
    assert units.sizes == (5,)
    assert units.axes["middle.weight"] == units.axes["again.weight"] == (0, 0)
    original, shuffled = clone(model), permuted(model, 1)
    assert torch.allclose(outputs(model, shuffled, (3,)), outputs(model, original, (3,)), atol=1e-6)
    assert torch.allclose(
        outputs(model, align(model, original, shuffled), (3,)), outputs(model, original, (3,)), atol=1e-6
    )


class Forward(nn.Module):
    """A network whose forward is given."""

    def __init__(self, forward, **layers):
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self._forward = forward

    def forward(self, x):
        return self._forward(self, x)


conv, fc = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 2)
KNOWN = {
    "view": lambda m, x: m.fc(F.adaptive_avg_pool2d(m.conv(x), 1).view(x.size(0), -1)),
    "reshape": lambda m, x: m.fc(F.adaptive_avg_pool2d(m.conv(x), 1).reshape((x.shape[0], -1))),
    "mean": lambda m, x: m.fc(torch.mean(m.conv(x), (-1, -2))),
    "mean kept": lambda m, x: m.fc(m.conv(x).mean((2, 3), keepdim=True).flatten(start_dim=1)),
    "scaled": lambda m, x: m.fc(2 * m.conv(x).relu().mean(dim=[2, 3]) + 1),
    "gated": lambda m, x: m.fc((m.conv(x) * m.conv(x).mean((2, 3), keepdim=True)).mean((2, 3))),
    "functional dropout": lambda m, x: m.fc(F.dropout(m.conv(x).mean((2, 3)), 0.5, m.training)),
}


@pytest.mark.parametrize("forward", KNOWN.values(), ids=KNOWN)
def test_operations_that_are_known(forward):
    model = Forward(forward, conv=nn.Conv2d(3, 4, 3, padding=1), fc=nn.Linear(4, 2)).eval()
    assert hidden_units(model).sizes == (4,)
    original, shuffled = clone(model), permuted(model, 1)
    expected = outputs(model, original, (3, 6, 6))
    assert torch.allclose(outputs(model, shuffled, (3, 6, 6)), expected, atol=1e-5)
    assert not all(torch.equal(original[name], shuffled[name]) for name in original)


def test_inputs_that_are_added_to_units_fix_them():
    model = Forward(lambda m, x: m.conv(x) + x, conv=nn.Conv2d(3, 3, 3, padding=1))
    assert hidden_units(model) == Units((), {})


UNKNOWN = {
    "control flow on numbers": (lambda m, x: m.conv(x) if x.sum() > 0 else x, "torch.fx cannot trace Forward"),
    "concatenation": (lambda m, x: torch.cat([m.conv(x), m.conv(x)], 1), "'cat'"),
    "softmax": (lambda m, x: m.fc(torch.softmax(m.conv(x).mean((2, 3)), 1)), "'softmax'"),
    "mean over units": (lambda m, x: m.conv(x).mean(1), "'mean'"),
    "mean over one side": (lambda m, x: m.conv(x).mean(dim=2), "'mean'"),
    "flattened with the batch": (lambda m, x: torch.flatten(m.conv(x)), "'flatten'"),
    "another view": (lambda m, x: m.conv(x).view(2, 2, -1), "'view'"),
    "transposed": (lambda m, x: m.conv(x).transpose(1, 2), "'transpose'"),
    "linear on an image's last side": (lambda m, x: m.fc(m.conv(x)), "the Linear 'fc'"),
    "flattened tokens": (lambda m, x: m.fc(m.fc(x).flatten(1)), "'flatten'"),
    "grouped": (lambda m, x: m.grouped(m.conv(x)), "the grouped Conv2d 'grouped'"),
    "layer norm": (lambda m, x: m.norm(m.fc(x)), "the LayerNorm 'norm'"),
    "units of two sizes": (lambda m, x: m.conv(x) + m.wide(x), "units of 4 and 5 meet"),
    "a parameter of its own": (lambda m, x: m.conv(x) * m.scale, "'scale'"),
}


@pytest.mark.parametrize(("forward", "message"), UNKNOWN.values(), ids=UNKNOWN)
def test_one_clear_error_for_what_is_not_known(forward, message):
    layers = {"conv": conv, "fc": fc, "grouped": nn.Conv2d(4, 4, 3, groups=2), "norm": nn.LayerNorm(2)}
    model = Forward(forward, wide=nn.Conv2d(3, 5, 3, padding=1), **layers)
    model.scale = nn.Parameter(torch.ones(4, 1, 1))
    with pytest.raises(ConfigError, match=message):
        align(model, model.state_dict(), model.state_dict())


def test_states_of_another_network_and_of_a_diverged_run():
    model = models.build("lenet_12_9_7", input_shape=(1, 8, 8), seed=0)
    a = clone(model)
    with pytest.raises(ConfigError, match=r"'fc1.weight': state_a has"):
        align(model, a, a | {"fc1.weight": torch.zeros(3, 64)})
    with pytest.raises(ConfigError, match=r"'fc3.weight': the model has shape"):
        align(model, *[models.build("lenet_12_9", input_shape=(1, 8, 8)).state_dict()] * 2)
    with pytest.raises(ConfigError, match="NaN"):
        align(model, a, a | {"fc1.bias": torch.full((12,), float("nan"))})

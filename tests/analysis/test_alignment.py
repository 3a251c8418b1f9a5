"""Alignment by weight matching: it keeps a network's function and undoes a permutation of its units."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision.models import DenseNet, VisionTransformer

from lth_ray import models
from lth_ray.analysis import align, l2_distance
from lth_ray.analysis.alignment import match, reorder
from lth_ray.config import ConfigError
from lth_ray.models import Coupling, coupled

NETWORKS = {
    "lenet_300_100": (1, 28, 28), "lenet_12_9_7": (1, 8, 8), "conv2_8": (3, 32, 32), "cifar_vgg11_4": (3, 32, 32),
    "cifar_vgg19_8": (3, 32, 32), "cifar_resnet20": (3, 32, 32),
}  # fmt: skip
SMALL = NETWORKS["lenet_12_9_7"]


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


def example(shape):
    return (torch.zeros(1, *shape),)


def permuted(model, seed, shape):
    """Its state with every group of units in a random order."""
    generator, coupling = torch.Generator().manual_seed(seed), coupled(model, example(shape))
    orders = [torch.randperm(size, generator=generator) for size in coupling.sizes]
    return {
        name: reorder(value, coupling.places(name), orders) if name in coupling.units else value.clone()
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
    shuffled = permuted(model, 2, NETWORKS[name])
    assert l2_distance(original, shuffled) > 1
    before = outputs(model, original, NETWORKS[name])
    assert torch.allclose(outputs(model, shuffled, NETWORKS[name]), before, rtol=1e-4, atol=1e-4)
    aligned = align(model, original, shuffled, example(NETWORKS[name]))
    assert l2_distance(original, aligned, names=original) == 0.0
    assert list(aligned) == list(original)


@pytest.mark.parametrize("name", ["lenet_12_9_7", "conv2_8", "cifar_vgg11_4", "cifar_resnet20"])
def test_another_network_keeps_its_function_and_comes_nearer(name):
    model = network(name, 1)
    a, b = clone(model), clone(network(name, 2))
    given_a, given_b = ({key: value.clone() for key, value in state.items()} for state in (a, b))
    aligned = align(model, a, b, example(NETWORKS[name]))
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
    shuffled = permuted(model, seed, SMALL)
    aligned = align(model, a, shuffled, example(SMALL), seed=align_seed)
    assert all(torch.equal(aligned[name], b[name]) for name in b)


def test_equal_seeds_give_equal_alignments_and_no_global_randomness_is_used():
    model = network("lenet_12_9_7", 1)
    a, b = clone(model), clone(network("lenet_12_9_7", 2))
    state = torch.get_rng_state()
    first, second = (align(model, a, b, example(SMALL), seed=5) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(torch.get_rng_state(), state)


def test_in_place_it_is_the_dict_that_changes():
    model = network("conv2_8", 1)
    a, b = clone(model), permuted(model, 3, (3, 32, 32))
    tensors = dict(b)
    kept = {name: value.clone() for name, value in b.items()}
    assert align(model, a, b, example((3, 32, 32)), in_place=True) is b
    assert l2_distance(a, b) == 0.0
    assert all(torch.equal(tensors[name], kept[name]) for name in kept)


def test_no_iteration_leaves_every_unit_in_its_place():
    model = network("lenet_12_9_7", 1)
    shuffled = permuted(model, 2, SMALL)
    aligned = align(model, clone(model), shuffled, example(SMALL), iterations=0)
    assert all(torch.equal(aligned[name], shuffled[name]) for name in shuffled)


def test_a_match_by_hand():
    """Two units of two inputs; b's are a's in the other order, slightly off."""
    units, none = np.array([0, 1]), np.array([-1, -1])
    coupling = Coupling((2,), {"w": (units, none), "bias": (units,), "out": (none[:1], units)})
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
    (order,) = match(coupling, a, b, seed=0, iterations=10)
    assert order.tolist() == [1, 0]
    there = reorder(b["w"], coupling.places("w"), [order])
    assert there.tolist() == [[pytest.approx(0.9), 0.0], [0.0, pytest.approx(1.1)]]


def test_a_flattened_image_moves_in_blocks_and_beside_others():
    blocks = {0: torch.tensor([[0, 1], [2, 3], [4, 5]])}
    assert reorder(torch.arange(6), [blocks], [torch.tensor([2, 0, 1])]).tolist() == [4, 5, 0, 1, 2, 3]
    two = {0: torch.tensor([[0], [3]]), 2: torch.tensor([[1], [4]])}
    orders = [torch.tensor([1, 0]), torch.tensor([0, 1, 2]), torch.tensor([1, 0])]
    assert reorder(torch.arange(6), [two], orders).tolist() == [3, 4, 2, 0, 1, 5]


def test_the_groups_of_a_residual_network():
    coupling = coupled(models.build("cifar_resnet20"), example((3, 32, 32)))
    assert sorted(coupling.sizes) == [16] * 4 + [32] * 4 + [64] * 4  # the stream of each stage, and blocks' insides
    assert coupling.sizes[:3] == (16, 16, 16)  # in the order of the state dict, which decides the order of matching
    stream = list(range(16))
    assert coupling.units["conv.weight"][0].tolist() == stream
    assert all(coupling.units[f"blocks.{i}.conv2.weight"][0].tolist() == stream for i in range(3))
    assert coupling.units["blocks.3.shortcut.weight"][1].tolist() == stream
    wide = coupling.units["blocks.3.shortcut.weight"][0].tolist()
    assert coupling.units["blocks.5.conv2.weight"][0].tolist() == wide
    assert coupling.units["norm.running_var"][0].tolist() == stream
    assert coupling.units["output.weight"][0].tolist() == [-1] * 10
    assert "output.bias" not in coupling.units
    assert "norm.num_batches_tracked" not in coupling.units


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
    coupling = coupled(model, example((3,)))
    assert coupling.sizes == (5,)
    for name in ("middle.weight", "again.weight"):
        assert [axis.tolist() for axis in coupling.units[name]] == [[0, 1, 2, 3, 4]] * 2
    original, shuffled = clone(model), permuted(model, 1, (3,))
    assert torch.allclose(outputs(model, shuffled, (3,)), outputs(model, original, (3,)), atol=1e-6)
    aligned = align(model, original, shuffled, example((3,)))
    assert torch.allclose(outputs(model, aligned, (3,)), outputs(model, original, (3,)), atol=1e-6)


def transformer():
    torch.manual_seed(0)
    return VisionTransformer(16, 8, 1, 2, 8, 12, num_classes=3)


def dense():
    return DenseNet(4, (2, 2), 8, 2, num_classes=3)


@pytest.mark.parametrize("build", [transformer, dense])
def test_heads_and_concatenations_are_aligned(build):
    """Heads as wholes, and the groups of an axis each by itself."""
    model, shape = build().eval(), (3, 16 if build is transformer else 32, 16 if build is transformer else 32)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.copy_(torch.randn(value.shape, generator=generator) * (1 if "weight" in name else 0.3))
    original, shuffled = clone(model), permuted(model, 4, shape)
    changed = [name for name, value in original.items() if not torch.equal(value, shuffled[name])]
    assert {transformer: "heads.head.weight", dense: "classifier.weight"}[build] in changed
    aligned = align(model, original, shuffled, example(shape))
    assert l2_distance(original, aligned, names=original) == 0.0


def test_what_alignment_refuses_names_the_operation():
    class Sorted(nn.Module):
        def forward(self, x):
            return x.sort(1)[0]

    model = nn.Sequential(nn.Linear(3, 4), Sorted())
    with pytest.raises(ConfigError, match=r"the Sorted '1' calls sort"):
        align(model, model.state_dict(), model.state_dict(), example((3,)))


def test_states_of_another_network_and_of_a_diverged_run():
    model = models.build("lenet_12_9_7", input_shape=(1, 8, 8), seed=0)
    a = clone(model)
    with pytest.raises(ConfigError, match=r"'fc1.weight': state_a has"):
        align(model, a, a | {"fc1.weight": torch.zeros(3, 64)}, example(SMALL))
    with pytest.raises(ConfigError, match=r"'fc3.weight': the model has shape"):
        align(model, *[models.build("lenet_12_9", input_shape=SMALL).state_dict()] * 2, example(SMALL))
    with pytest.raises(ConfigError, match="NaN"):
        align(model, a, a | {"fc1.bias": torch.full((12,), float("nan"))}, example(SMALL))

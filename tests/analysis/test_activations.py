"""Alignment by activations: it undoes a permutation, keeps a network's function, and reads what layers are given."""

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import nn

from lth_ray.analysis import align, l2_distance
from lth_ray.analysis.activations import match_activations
from lth_ray.config import ConfigError
from lth_ray.models import coupled
from tests.analysis.test_alignment import NETWORKS, clone, example, network, outputs, permuted


def batches(shape, n=16, number=2):
    generator = torch.Generator().manual_seed(4)
    return [(torch.randn(n, *shape, generator=generator), torch.zeros(n)) for _ in range(number)]


@pytest.mark.parametrize("name", ["lenet_12_9_7", "cifar_vgg11_4", "cifar_resnet20"])
def test_a_permuted_copy_is_aligned_with_the_original(name):
    shape = NETWORKS[name]
    model = network(name, 1)
    original, held = clone(model), clone(model)
    shuffled = permuted(model, 2, shape)
    model.train()
    aligned = align(model, original, shuffled, example(shape), examples=batches(shape))
    if name == "cifar_resnet20":  # some of its units are always off, and so all alike
        assert l2_distance(original, aligned, names=original) < 0.3 * l2_distance(original, shuffled, names=original)
    else:
        assert l2_distance(original, aligned, names=original) == 0.0
    assert all(torch.equal(value, held[key]) for key, value in model.state_dict().items())
    assert model.training
    assert not model._forward_hooks


def test_channels_are_found_behind_a_flattened_image():
    model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Tanh(), nn.Flatten(), nn.Linear(5 * 36, 4), nn.Tanh(), nn.Linear(4, 2))
    original, shuffled = clone(model), permuted(model, 2, (3, 8, 8))
    aligned = align(model, original, shuffled, example((3, 8, 8)), examples=batches((3, 8, 8)))
    assert l2_distance(original, shuffled) > 0.5
    assert l2_distance(original, aligned) == 0.0


@pytest.mark.parametrize("name", ["lenet_12_9_7", "cifar_resnet20"])
def test_another_network_keeps_its_function(name):
    shape = NETWORKS[name]
    model = network(name, 1)
    a, b = clone(model), clone(network(name, 2))
    aligned = align(model, a, b, example(shape), examples=batches(shape))
    expected = outputs(model, b, shape)
    assert torch.allclose(outputs(model, aligned, shape), expected, rtol=1e-3, atol=1e-3)


def test_the_match_is_that_of_the_greatest_correlation_by_numpy():
    """Units of the first layer by what the second is given, behind the nonlinearity; over both batches at once."""
    model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 2))
    states = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        states.append({name: torch.randn(value.shape) for name, value in model.state_dict().items()})
    states[1]["0.weight"][3], states[1]["0.bias"][3] = 0.0, 0.5  # a unit that never changes
    given = batches((5,), n=9)
    coupling = coupled(model, example((5,)))
    (order,) = match_activations(model, coupling, *states, given)
    x = torch.cat([batch[0] for batch in given])
    first, second = (torch.tanh(x @ state["0.weight"].T + state["0.bias"]).T.double().numpy() for state in states)
    with np.errstate(invalid="ignore"):
        alike = np.nan_to_num(np.corrcoef(np.vstack([first, second]))[:6, 6:])
    alike[:, 3] = 0.0
    assert order.tolist() == linear_sum_assignment(alike, maximize=True)[1].tolist()


def test_what_cannot_be_matched_is_said():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.LSTM(3, 4), nn.LSTM(4, 4)
            self.output = nn.Linear(4, 2)

        def forward(self, x):
            return self.output(self.second(self.first(x)[0])[0])

    model = Recurrent()
    state = clone(model)
    with pytest.raises(ConfigError, match=r"the units of 'first\.weight_ih_l0' are read by no linear layer or convol"):
        align(model, state, clone(model), (torch.zeros(2, 1, 3),), examples=[(torch.zeros(2, 1, 3),)])
    model = network("lenet_12_9_7", 1)
    with pytest.raises(ConfigError, match="examples: there is none"):
        align(model, clone(model), clone(model), example(NETWORKS["lenet_12_9_7"]), examples=[])
    broken = {name: value * torch.nan for name, value in model.state_dict().items()}
    with pytest.raises(ConfigError, match="NaN or infinite"):
        align(model, clone(model), broken, example((1, 8, 8)), examples=batches((1, 8, 8)))

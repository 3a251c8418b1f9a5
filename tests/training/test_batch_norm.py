"""Batch-norm statistics measured anew."""

import pytest
import torch
from torch import nn

from lth_ray import models
from lth_ray.config import ConfigError
from lth_ray.training.batch_norm import reestimate


def batches(sizes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [(torch.randn(size, 3, generator=generator) * 2 + 1, torch.zeros(size)) for size in sizes]


def test_statistics_are_the_means_over_batches_of_one_size():
    layer = nn.BatchNorm1d(3)
    layer.running_mean.fill_(99)
    layer.running_var.fill_(99)
    given = batches([8, 8, 8])
    reestimate(layer, iter(given))
    assert torch.allclose(layer.running_mean, torch.stack([x.mean(0) for x, _ in given]).mean(0), atol=1e-6)
    assert torch.allclose(layer.running_var, torch.stack([x.var(0) for x, _ in given]).mean(0), atol=1e-6)
    cumulative = nn.BatchNorm1d(3, momentum=None)
    for x, _ in given:
        cumulative(x)
    assert torch.equal(layer.running_mean, cumulative.running_mean)
    assert torch.equal(layer.running_var, cumulative.running_var)
    assert layer.num_batches_tracked == 3


def test_a_short_last_batch_counts_by_its_inputs():
    layer = nn.BatchNorm1d(3)
    given = batches([10, 10, 2])
    reestimate(layer, given)
    assert torch.allclose(layer.running_mean, torch.cat([x for x, _ in given]).mean(0), atol=1e-6)
    assert torch.allclose(layer.running_var, sum(x.var(0) * len(x) for x, _ in given) / 22, atol=1e-6)


def test_weights_modes_and_momenta_stay_and_there_is_no_dropout():
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.9), nn.BatchNorm1d(3, momentum=0.3), nn.Linear(3, 2))
    model.train()
    model[2].eval()  # a frozen layer is measured too, and stays frozen
    before = {name: value.clone() for name, value in model.named_parameters()}
    given = batches([16, 16])
    reestimate(model, given)
    assert [module.training for module in model.modules()] == [True, True, True, False, True]
    assert model[2].momentum == 0.3
    assert all(torch.equal(value, before[name]) and value.grad is None for name, value in model.named_parameters())
    hidden = model[0](torch.cat([x for x, _ in given]))
    assert torch.allclose(model[2].running_mean, hidden.mean(0), atol=1e-5)


def test_functional_dropout_is_off_as_well():
    model = models.build("conv2_4", input_shape=(1, 8, 8), seed=0, dropout=0.5)
    batch, before = (torch.rand(4, 1, 8, 8), torch.zeros(4)), torch.get_rng_state()
    reestimate(nn.Sequential(nn.BatchNorm2d(1), model), [batch])
    assert torch.equal(torch.get_rng_state(), before)


def test_without_running_statistics_no_batch_is_drawn():
    given = iter(batches([4]))
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3, track_running_stats=False))
    reestimate(model, given)
    assert len(list(given)) == 1


def test_no_batch_is_an_error_and_a_failing_one_leaves_the_modes():
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    with pytest.raises(ConfigError, match="training batches"):
        reestimate(model, [])
    with pytest.raises(RuntimeError):
        reestimate(model, [(torch.rand(2, 5), torch.zeros(2))])
    assert all(module.training for module in model.modules())
    assert model[1].momentum == 0.1

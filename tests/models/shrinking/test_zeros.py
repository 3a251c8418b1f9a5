"""Inputs that meet zeros alone: behind norms that take means away, too."""

import pytest
import torch
from torch import nn

from lth_ray import models

NORMS = {
    "batch": lambda: nn.BatchNorm2d(16),
    "group": lambda: nn.GroupNorm(4, 16),
    "layer": lambda: nn.GroupNorm(1, 16),
    "instance": lambda: nn.InstanceNorm2d(16, affine=True),
}


@pytest.mark.parametrize("kind", NORMS)
def test_only_what_the_mask_takes_away_is_dead(kind: str) -> None:
    norm, reader = NORMS[kind](), nn.Conv2d(16, 8, 3)
    network = nn.Sequential(nn.Conv2d(3, 16, 3), norm, nn.ReLU(), reader, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    mask = {name: torch.ones_like(one, dtype=torch.bool) for name, one in network.named_parameters()}
    example = (torch.randn(1, 3, 8, 8),)
    whole = models.without_dead_inputs(network, mask, example)
    assert all(kept.all() for kept in whole.values())
    gone = [2, 5, 11]
    for name in ("1.weight", "1.bias"):
        mask[name][gone] = False
    found = models.without_dead_inputs(network, mask, example)
    assert [i for i in range(16) if not found["3.weight"][:, i].any()] == gone
    assert int((~found["3.weight"]).sum()) == 3 * 8 * 9
    assert found["0.weight"].all()


def test_layer_norm_before_relu_leaves_no_input_dead() -> None:
    network = nn.Sequential(nn.Linear(20, 50), nn.LayerNorm(50), nn.ReLU(), nn.Linear(50, 5))
    mask = {name: torch.ones_like(one, dtype=torch.bool) for name, one in network.named_parameters()}
    found = models.without_dead_inputs(network, mask, (torch.randn(1, 20),))
    assert all(kept.all() for kept in found.values())

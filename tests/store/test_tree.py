"""Optimizer states to tensors and JSON and back."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from lth_ray.store import Store, flatten_optimizer, unflatten_optimizer

OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd without state": lambda p: torch.optim.SGD(p, lr=0.1),
    "sgd momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4),
    "adam": lambda p: torch.optim.Adam(p, lr=1.2e-3),
    "adam amsgrad fused": lambda p: torch.optim.Adam(p, amsgrad=True, fused=True),
    "adamw": lambda p: torch.optim.AdamW(p, betas=(0.8, 0.99)),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.9, centered=True),
    "two groups": lambda p: torch.optim.Adam([{"params": [q], "lr": 0.1 * i} for i, q in enumerate(p)]),
    "tensor lr": lambda p: torch.optim.Adam(p, lr=torch.tensor(0.01), foreach=False),
}


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    for step in range(steps):
        optimizer.zero_grad()
        model(torch.linspace(-1, 1, 4 * 3).reshape(4, 3) + step).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_goes_on_bit_for_bit(name: str, local_store: Store) -> None:
    """Through a file: 3 + 3 steps with all objects made anew equal 6 steps."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))
    optimizer = OPTIMIZERS[name](model.parameters())
    train(model, optimizer, 3)
    local_store.save_state("t", 3, model.state_dict(), optimizer.state_dict())
    train(model, optimizer, 3)

    state = local_store.load_state("t", 3, with_optimizer=True)
    copy = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))
    copy.load_state_dict(state.model)
    again = OPTIMIZERS[name](copy.parameters())
    assert state.optimizer is not None
    again.load_state_dict(state.optimizer)
    train(copy, again, 3)
    for a, b in zip(model.parameters(), copy.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_structure_comes_back_exactly() -> None:
    tree = {
        "state": {0: {"step": torch.tensor(3.0), "momentum_buffer": None}, 1: {}},
        "param_groups": [{"betas": (0.9, 0.999), "lr": 0.1, "foreach": None, "flag": True, "n": 3, "params": [0, 1]}],
    }
    tensors, text = flatten_optimizer(tree)
    assert list(tensors) == ["state.0.step"]
    assert unflatten_optimizer(tensors, text) == tree


def test_what_cannot_be_stored_is_named() -> None:
    with pytest.raises(TypeError, match=r"'state.0.hook' is a function"):
        flatten_optimizer({"state": {0: {"hook": lambda: None}}})

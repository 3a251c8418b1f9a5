"""Measuring a network of 25M weights holds the model and two states, and little beside them."""

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from lth_ray import analysis
from lth_ray.store import Tensors

WIDTH, DEPTH = 1024, 24


def network() -> nn.Module:
    layers = [nn.Linear(WIDTH, WIDTH, bias=False, device="meta") for _ in range(DEPTH)]
    return nn.Sequential(*layers).to_empty(device="cpu")


def filled(model: nn.Module, value: float) -> Tensors:
    return {name: torch.full_like(tensor, value) for name, tensor in model.state_dict().items()}


def measure(model: nn.Module) -> None:
    a, b = filled(model, 0.01), filled(model, -0.02)
    batch = torch.ones(4, WIDTH), torch.zeros(4, dtype=torch.long)
    b = analysis.align(model, a, b, (batch[0][:1],), in_place=True, iterations=1)
    mask = {name: a[name] > 0 for name in list(a)[:1]}
    analysis.linear_path(model, a, b, *batch, points=3)
    analysis.l2_distance(a, b)
    analysis.angle(a, b)
    analysis.movement(a, b, mask)
    analysis.surviving(a, mask)


def test_copies_held_at_the_peak() -> None:
    """By what torch allocates and frees, and not by the process's resident memory, which has more causes."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        measure(network())
    changes = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = peak = 0
    for event in sorted(changes, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    assert 3 <= peak / (4 * WIDTH * WIDTH * DEPTH) < 3.5

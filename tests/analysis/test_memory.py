"""Measuring a network of 25M weights holds the model and two states, and little beside them."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import torch
from torch import nn

from lth_ray import analysis

torch.set_num_threads(1)


def status(field):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(field)) * 1024


def network(width, depth):
    layers = [nn.Linear(width, width, bias=False, device="meta") for _ in range(depth)]
    return nn.Sequential(*layers).to_empty(device="cpu")


def filled(model, value):
    return {name: torch.full_like(tensor, value) for name, tensor in model.state_dict().items()}


def measure(model, width):
    a, b = filled(model, 0.01), filled(model, -0.02)
    batch = torch.ones(4, width), torch.zeros(4, dtype=torch.long)
    b = analysis.align(model, a, b, in_place=True, iterations=1)
    mask = {name: a[name] > 0 for name in list(a)[:1]}
    analysis.linear_path(model, a, b, *batch, points=3)
    analysis.l2_distance(a, b)
    analysis.angle(a, b)
    analysis.movement(a, b, mask)
    analysis.surviving(a, mask)


measure(network(8, 2), 8)
before = status("VmRSS")
width, depth = 1024, 24
measure(network(width, depth), width)
print((status("VmHWM") - before) / (4 * width * width * depth))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc, which is not here")
def test_copies_held_at_the_peak():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert 2.9 < float(done.stdout) < 3.5

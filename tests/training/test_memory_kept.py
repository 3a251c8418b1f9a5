"""A process that trains keeps its memory: fewer pages are cleared, and no bit changes."""

import os
import subprocess
import sys

import pytest

from lth_ray.training.process import HUGE_PAGES

SCRIPT = """
import resource, sys, torch
from lth_ray.training.process import keep_memory
if "keep" in sys.argv:
    keep_memory()
torch.set_num_threads(1)
generator = torch.Generator().manual_seed(0)
network = torch.nn.Sequential(torch.nn.Conv2d(3, 32, 3), torch.nn.ReLU(), torch.nn.Conv2d(32, 32, 3))
for parameter in network.parameters():
    torch.nn.init.normal_(parameter, generator=generator)
inputs = torch.randn(16, 3, 64, 64, generator=generator)
for _ in range(2):
    network(inputs).square().mean().backward()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    network(inputs).square().mean().backward()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, network[0].weight.grad.double().sum().item())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc")
def test_fewer_pages_and_the_same_bits() -> None:
    faults, sums = {}, set()
    # what a trial in this process, by another test, has set for good
    clean = {name: value for name, value in os.environ.items() if name != HUGE_PAGES}
    for flag in ("", "keep"):
        command = [sys.executable, "-c", SCRIPT, flag]
        done = subprocess.run(command, env=clean, capture_output=True, text=True, check=True)
        number, total = done.stdout.split()
        faults[flag], _ = int(number), sums.add(total)
    assert len(sums) == 1
    assert faults["keep"] < faults[""] / 4

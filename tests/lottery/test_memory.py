"""Measuring the line between two networks of 25M weights holds little more than the model and both states."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys

import torch
from torch import nn

from lth_ray import analysis, data
from lth_ray.config import Data, Model, Train, steps
from lth_ray.lottery.derivation import Table
from lth_ray.lottery.execution.bench import Bench
from lth_ray.lottery.execution.lines import line
from lth_ray.lottery.kept.records import SegmentRecord
from lth_ray.lottery.sources import Snapshot
from lth_ray.store import Store
from lth_ray.training import Recipe

torch.set_num_threads(1)
WIDTH, DEPTH = 1024, 24


def wide(num_classes, input_shape):
    layers = [nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(DEPTH)]
    return nn.Sequential(nn.Flatten(), nn.Linear(64, WIDTH), *layers, nn.Linear(WIDTH, num_classes))


def status(field):
    return next(int(row.split()[1]) for row in open("/proc/self/status") if row.startswith(field)) * 1024


digits = Data("digits", batch_size=60, validation=200, evaluation_images=4)
dataset = data.load(digits)
recipe = Recipe(Model(wide), digits, Train(steps(1), lr=0.1), data.identify(digits))
store = Store.open(sys.argv[2])
ends = tuple(Snapshot(name * 32, 1) for name in "ab")
if sys.argv[1] == "write":
    for seed, end in enumerate((*ends, Snapshot("c" * 32, 0))):
        torch.manual_seed(seed)
        store.save_state(end.trajectory, end.step, wide(10, (1, 8, 8)).state_dict())
    record = SegmentRecord(
        key="a-1", trajectory="a" * 32, meaning={}, first=0, last=1, backend=None, mask=None, remaining_weights=1.0,
        content="", diverged_at=None, started_at="", seconds=0.0, environment={},
    )  # fmt: skip
    store.publish_segment("a-1", record.to_json())
else:
    options = {"points": 3, "batch_norm": "stored", "align": False}
    table = Table("line", recipe, ("a-1", "b-1"), ends, Snapshot("c" * 32, 0), options)
    _ = analysis.align, analysis.walk, analysis.angle  # the libraries that these import are no part of it
    before = status("VmRSS")
    values = line(Bench(table, store, dataset, "cpu")).values
    assert values["share_travelled"] > 0
    print((status("VmHWM") - before) / (4 * WIDTH * WIDTH * DEPTH))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc, which is not here")
def test_copies_held_at_the_peak(tmp_path: Path) -> None:
    for what in ("write", "measure"):
        done = subprocess.run([sys.executable, "-c", PROGRAM, what, str(tmp_path)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
    assert 2.0 < float(done.stdout) < 3.5

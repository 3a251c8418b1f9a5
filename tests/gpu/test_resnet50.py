"""ResNet-50 as it is trained: bf16, channels_last, compiled, with masks."""

import math

import pytest
import torch
from torch._dynamo.utils import counters

from lth_ray.training import train
from tests.gpu.setups import a_case, masks_hold

pytestmark = pytest.mark.gpu
RECIPE = {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-4, "precision": "bf16", "channels_last": True}


def test_masked_compiled_steps_are_finite_and_rounds_are_compiled_once(device: torch.device) -> None:
    case = a_case(device, "resnet50", (3, 64, 64), compile=True, **RECIPE)
    graphs = []
    for seed in range(3):  # a round has another mask and another model object
        run = case.run(seed)
        train(run, 4)
        assert math.isfinite(float(run.loss_sum))
        assert all(bool(parameter.isfinite().all()) for parameter in run.model.parameters())
        assert masks_hold(run)
        assert run.optimizer.state[run.model.conv1.weight]["momentum_buffer"].is_contiguous(
            memory_format=torch.channels_last
        )
        graphs.append(counters["stats"]["unique_graphs"])
    assert graphs[0] == graphs[-1]


def test_compiled_steps_are_near_eager_ones(device: torch.device) -> None:
    losses = []
    for compiled in (True, False):
        run = a_case(device, "resnet18", (3, 64, 64), compile=compiled, **{**RECIPE, "lr": 1e-3}).run()
        train(run, 5)
        losses.append(float(run.loss_sum) / 5)
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


def test_memory_does_not_grow_while_it_trains(device: torch.device) -> None:
    run = a_case(device, "resnet50", (3, 64, 64), **RECIPE).run()
    train(run, 3)
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    train(run, 10)
    torch.cuda.synchronize()
    assert torch.cuda.memory_allocated() <= before + (1 << 20)

"""The size of a study by its plan alone: operations, memory on the meta device, time at rates; and its dry run."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from lth_ray import Data, Model, Prune, RandomReinit, Study, Train, epochs, models, steps
from lth_ray.commands import published
from lth_ray.config import ConfigError
from lth_ray.lottery import make_plan
from lth_ray.running import assumed
from lth_ray.running.sizing import Device, Sized, activations, size_of
from lth_ray.store import Store
from tests.conftest import Call
from tests.docs.blocks import blocks
from tests.running.conftest import declared, train_here

WEIGHTS = 64 * 20 + 20 * 10 + 10 * 10  # of lenet_20_10 on the digits; and biases
STUDY: Study = replace(declared(), branches=[RandomReinit(rounds=[2])], rewind=[steps(0)])
ALIKE = Device("alike", 1e9, 1e9)
RESNET = Study(
    "large", model=Model("resnet50"), data=Data("imagenet", batch_size=256, validation=0),
    train=Train(epochs(1), lr=0.1, momentum=0.9, precision="bf16", batch_norm_group=64),
    prune=Prune(fraction=0.2, rounds=1), rewind=[steps(0)], seeds=[0],
)  # fmt: skip


def test_operations_and_time_by_hand() -> None:
    slow = Device("slow", 1.0, 1.0, least_step_s=1e9)
    size = size_of(make_plan(STUDY), (ALIKE, slow))
    a_step = 3 * 2 * WEIGHTS * 60
    assert (size.trainings, size.steps) == (4, 400)
    assert size.flops == 400 * a_step
    assert size.seconds == {"alike": pytest.approx(400 * a_step / 1e9), "slow": 400e9}


def test_what_a_backward_pass_keeps_by_hand() -> None:
    network = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 5))
    inputs, hidden, outputs = 7 * 10 * 4, 7 * 20 * 4, 7 * 5 * 4
    found = activations(network, (torch.zeros(1, 10),), 7)
    assert found == inputs + hidden + hidden + 2 * outputs  # the largest twice, logits for the loss
    assert network(torch.ones(1, 10)).isfinite().all()  # it still has its weights


def test_what_a_device_holds_besides() -> None:
    recipe = make_plan(STUDY).lineages[0].recipe
    sized = Sized(recipe)
    memory = sized.memory
    numbers = WEIGHTS + 40  # with biases
    assert memory is not None
    assert sized.step_flops == 3 * 2 * WEIGHTS * 60  # whichever is asked first
    assert memory.weights == numbers * (4 * (1 + 1 + 2) + 1)  # weights, gradients, Adam's two, a mask
    assert memory.data == 1797 * 64


@pytest.mark.parametrize("name", ["cifar_resnet20", "conv4"])
def test_activations_grow_with_the_batch_and_train_no_real_tensor(name: str) -> None:
    example = (torch.zeros(1, 3, 32, 32),)
    few, many = (activations(models.build(name, input_shape=(3, 32, 32)), example, n) for n in (8, 64))
    assert many == pytest.approx(8 * few, rel=0.01)


def test_a_dry_run_of_a_team_needs_no_data(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    flags = ["--dry-run", "--workers=2", "--gpus-per-worker=1", "--concurrent=4", "--cpus-per-worker=8", "--loaders=7"]
    code, printed = call(RESNET, *flags)
    said = [" ".join(line.split()) for line in printed.splitlines()]
    assert code == 0, printed
    assert "left to do 2 trainings of 1 lineages, 10,008 steps" in said  # 1,281,167 // 256 = 5,004 a training
    assert "world size 2, each with 1 GPU; 4 networks at a time; admitted are 1, 2, 4" in said
    assert "batches of 256, 128 a worker, 2 x 64 in turn" in said
    assert "assumed the published sizes of imagenet, not at hand here" in said
    assert any("on 8 x A100" in line for line in said)
    assert not list(tmp_path.iterdir())


def test_the_dry_run_of_the_documents(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says of the study what the page's table says."""
    monkeypatch.chdir(tmp_path)
    [line] = [line for block in blocks("docs/sizing.md") for line in block.lines]
    code, printed = call(None, *line.split()[1:])
    said = " ".join(printed.split())
    row = next(row for row in published.table_of_costs()["resnet50_rewind"])
    assert code == 0
    assert f"{int(row['trainings']):,} trainings of 25 lineages, {int(row['steps']):,} steps" in said
    assert f"operations {float(row['pflop']) * 1e15:.2g} of training" in said
    assert f"about {row['gpu_gb']} GB: " in said


def test_a_dry_run_refuses_what_a_run_would(call: Call, tmp_path: Path) -> None:
    code, printed = call(RESNET, "--dry-run", "--workers", "3", "--storage", tmp_path / "s")
    assert (code, "--workers 3: a batch of 256" in printed) == (2, True)
    with pytest.raises(ConfigError, match="no such data set"):
        assumed.sizes(replace(STUDY, data=replace(STUDY.data, name="digit")), None)


def test_what_is_done_is_not_counted(call: Call, tmp_path: Path) -> None:
    train_here(declared(), Store.open(str(tmp_path)))
    code, printed = call(declared(), "--dry-run", "--storage", tmp_path)
    assert code == 0
    assert "0 trainings of 2 lineages, 0 steps" in " ".join(printed.split())

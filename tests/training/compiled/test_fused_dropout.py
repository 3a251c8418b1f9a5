"""Compiled steps of networks with Dropout: they draw what autograd's do, and multiply by it in the same places."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from lth_ray import data
from lth_ray.config import Data
from lth_ray.training import Clock, train
from lth_ray.training.compiled import fused
from lth_ray.training.loop import evaluate_eagerly
from tests.training.compiled.test_fused import SETS, a_run, built, ends_as_by_autograd
from tests.training.setups import Setting, everything, restart
from tests.training.test_resume import OPTIMIZERS


def hidden(*dropouts: nn.Module) -> nn.Module:
    """Return a network of the digits that has these before its three layers."""
    first, second, third = dropouts
    layers = [first, nn.Linear(64, 30), nn.ReLU(), second, nn.Linear(30, 20), nn.ReLU(), third, nn.Linear(20, 10)]
    return nn.Sequential(nn.Flatten(), *layers)


def everywhere(num_classes: int) -> nn.Module:
    return hidden(nn.Dropout(0.2), nn.Dropout(0.5), nn.Dropout(0.1))


def second(num_classes: int) -> nn.Module:
    return hidden(nn.Identity(), nn.Dropout(0.5), nn.Identity())


def nothing_and_all(num_classes: int) -> nn.Module:
    return hidden(nn.Dropout(0.0), nn.Dropout(0.5), nn.Dropout(1.0))


@built
@pytest.mark.parametrize("density", [1.0, 0.33, 0.05])
@pytest.mark.parametrize("optimizer", ["momentum", "adam", "weight decay"])
@pytest.mark.parametrize("network", [everywhere, second, nothing_and_all])
def test_steps_in_double_precision_are_the_eager_ones(
    network: Callable[..., nn.Module], optimizer: str, density: float
) -> None:
    ends_as_by_autograd(70, density, 60, name=network, **OPTIMIZERS[optimizer])


@built
@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("batch", [1, 7, 33, 64, 130])
def test_every_instruction_set_and_batch(instruction_set: Callable[[str], None], name: str, batch: int) -> None:
    instruction_set(name)
    ends_as_by_autograd(20, 0.6, batch, name=everywhere)


@built
def test_a_step_in_float_is_that_of_a_loop_by_hand() -> None:
    run = a_run("auto", 1.0, 60, torch.float32, name=everywhere)
    model, (inputs, labels) = everywhere(10), run.batches.batch(0)
    model.load_state_dict(run.model.state_dict())
    torch.manual_seed(run.dropout_seed)  # that of step 0
    nn.functional.cross_entropy(model.train()(inputs), labels).backward()
    train(run, 1)
    for ours, theirs in zip(run.model.parameters(), model.parameters(), strict=True):
        assert theirs.grad is not None
        torch.testing.assert_close(ours, theirs.detach() - 0.05 * theirs.grad, rtol=1e-4, atol=1e-6)


@built
@pytest.mark.parametrize("density", [1.0, 0.2])
def test_the_number_of_steps_at_a_time_changes_no_bit(density: float, monkeypatch: pytest.MonkeyPatch) -> None:
    def trained(*ends: int) -> list[torch.Tensor]:
        run = a_run("auto", density, 60, torch.float32, name=everywhere, **OPTIMIZERS["adam"])
        for end in ends:
            train(run, end)
        return list(run.model.parameters())

    whole, paused = trained(70), trained(1, 33, 70)
    monkeypatch.setattr(fused, "MOST_DRAWN", 1)
    for one, other, third in zip(whole, paused, trained(70), strict=True):
        assert torch.equal(one, other)
        assert torch.equal(one, third)


@built
@pytest.mark.parametrize("augment", ["none", "crop_flip"])
def test_where_it_pauses_changes_no_bit(setting: Callable[..., Setting], augment: str) -> None:
    made = setting(everywhere, augment=augment, **OPTIMIZERS["adam"])
    whole = everything(made.trained(made.begin(), 12))
    saved = [restart(pause) for pause in made.pauses(made.begin(), 12, clock=Clock(every_steps=1))]
    for start in (saved[1], saved[6]):
        assert everything(made.trained(start, 12, first=0)) == whole


@built
def test_nothing_is_dropped_in_evaluation() -> None:
    run = a_run("auto", 1.0, 60, torch.float32, name=everywhere)
    train(run, 10)
    dataset = data.load(Data("digits", batch_size=60, validation=0))
    [ours], theirs = run.stepper.evaluate(dataset, dataset.test), evaluate_eagerly(run, dataset, dataset.test)
    assert (ours.value, ours.n) == (theirs.value, theirs.n)
    assert ours.loss == pytest.approx(theirs.loss, rel=1e-5)

"""Training 0->T equals 0->k then k->T, bit for bit, whatever the optimizer and wherever it pauses."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from lth_ray.config import steps
from lth_ray.training import Clock, Start
from tests.training.setups import Setting, bits, everything, restart

Make = Callable[..., Setting]
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {},
    "momentum": {"momentum": 0.9},
    "nesterov": {"momentum": 0.9, "nesterov": True, "weight_decay": 1e-3},
    "adam": {"optimizer": "adam", "lr": 1e-2, "weight_decay": 1e-3},
    "adamw": {"optimizer": "adamw", "lr": 1e-2, "weight_decay": 1e-1},
    "rmsprop": {"optimizer": "rmsprop", "lr": 1e-3, "weight_decay": 1e-3},
    "rmsprop with momentum": {"optimizer": "rmsprop", "lr": 1e-3, "momentum": 0.9},
    "weight decay": {"weight_decay": 1e-2},
    "clip": {"momentum": 0.9, "clip_norm": 0.1},
    "label smoothing": {"label_smoothing": 0.1, "momentum": 0.9},
    "schedule": {"momentum": 0.9, "warmup": steps(3), "schedule": "cosine"},
    "bf16": {"optimizer": "adam", "lr": 1e-2, "precision": "bf16"},
}
SOME = ["nesterov", "adam", "rmsprop with momentum"]


def each(names: list[str] | None = None) -> pytest.MarkDecorator:
    chosen = names or list(OPTIMIZERS)
    return pytest.mark.parametrize("train", [OPTIMIZERS[name] for name in chosen], ids=chosen)


@each()
def test_two_segments_equal_one(setting: Make, train: dict[str, Any]) -> None:
    made = setting(**train)
    whole = made.trained(made.begin(), 12)
    half = made.trained(made.begin(), 4)
    assert everything(made.trained(restart(half), 12)) == everything(whole)


@each()
def test_a_checkpoint_at_any_step_changes_nothing(setting: Make, train: dict[str, Any]) -> None:
    made = setting(**train)
    whole = everything(made.trained(made.begin(), 9))
    saved = [restart(pause) for pause in made.pauses(made.begin(), 9, clock=Clock(0.0))]
    assert [start.step for start in saved] == list(range(1, 10))
    for start in saved[2:8:3]:
        assert everything(made.trained(start, 9, first=0)) == whole


@each(SOME)
@pytest.mark.parametrize("options", [{"clock": Clock(0.0)}, {"pauses": frozenset({1, 5, 8, 11})}])
def test_pausing_changes_nothing(setting: Make, train: dict[str, Any], options: dict[str, Any]) -> None:
    made = setting(**train)
    assert everything(made.trained(made.begin(), 12, **options)) == everything(made.trained(made.begin(), 12))


@each(SOME)
def test_measuring_changes_no_weight(setting: Make, train: dict[str, Any]) -> None:
    made, often = setting(**train), setting(**train, evaluate_every=steps(1))
    unmeasured = made.trained(made.begin(), 12, measured=False)
    assert unmeasured.journal == {}
    for other in (made.trained(made.begin(), 12), often.trained(often.begin(), 12)):
        assert bits(other.run.model.state_dict()) == bits(unmeasured.run.model.state_dict())
        assert bits(other.run.optimizer.state_dict()) == bits(unmeasured.run.optimizer.state_dict())


@pytest.mark.parametrize(
    ("model", "options"),
    [("lenet_16_8", {}), ("conv2", {"dropout": 0.5}), ("cifar_resnet8_4", {})],
)
def test_networks(setting: Make, model: str, options: dict[str, Any]) -> None:
    made = setting(model, options, momentum=0.9, batch_size=20, evaluate_every=steps(3))
    whole = made.trained(made.begin(), 6)
    half = made.trained(made.begin(), 3)
    assert everything(made.trained(restart(half), 6)) == everything(whole)


def test_across_epochs(setting: Make) -> None:
    made = setting(batch_size=300, length=steps(12), momentum=0.9)
    assert made.recipe.steps_per_epoch == 4
    saved = [restart(pause) for pause in made.pauses(made.begin(), 12, clock=Clock(0.0))]
    whole = everything(made.trained(made.begin(), 12))
    for step in (4, 5, 7, 8):
        assert everything(made.trained(saved[step - 1], 12, first=0)) == whole


def test_a_start_is_left_as_it_was(setting: Make) -> None:
    made = setting(optimizer="adam", lr=1e-2)
    start = restart(made.trained(made.begin(), 4))
    before = bits([start.model, start.optimizer, start.journal])
    made.trained(start, 8)
    assert bits([start.model, start.optimizer, start.journal]) == before


def test_a_fresh_optimizer_is_not_a_restored_one(setting: Make) -> None:
    made = setting(momentum=0.9)
    half = restart(made.trained(made.begin(), 4))
    fresh = made.trained(Start(4, half.model), 8)
    restored = made.trained(half, 8)
    assert bits(fresh.run.model.state_dict()) != bits(restored.run.model.state_dict())


def test_seeds_and_steps_set_the_dropout(setting: Make) -> None:
    made = setting(augment="none", lr=1e-9, evaluate_every=steps(1))
    losses = made.trained(made.begin(), 3).journal["train_loss"]
    torch.manual_seed(99)
    assert made.trained(made.begin(), 3).journal["train_loss"] == losses
    assert len(set(losses)) == 3


def test_pauses_are_at_the_asked_steps(setting: Make) -> None:
    made = setting()
    pauses = [(p.step, p.due, p.finite) for p in made.pauses(made.begin(), 10, pauses=frozenset({3, 4}))]
    assert pauses == [(3, False, True), (4, False, True), (8, False, True), (10, False, True)]


def test_a_segment_of_no_steps_is_measured(setting: Make) -> None:
    made = setting()
    end = made.trained(made.begin(), 0)
    assert (end.step, end.finite, end.journal["step"], end.journal["train_loss"]) == (0, True, [0], [None])
    assert end.journal["test_accuracy"][0] is not None

"""Frozen pruned weights keep the values they start with, bit for bit, after every step."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from lth_ray.training import Clock, masked_start
from tests.training.setups import Setting, bits, clone, everything, restart

Make = Callable[..., Setting]
DECAY = {"weight_decay": 0.1}
FROZEN: dict[str, dict[str, Any]] = {
    "sgd": DECAY,
    "momentum": {"momentum": 0.9, **DECAY},
    "nesterov": {"momentum": 0.9, "nesterov": True, **DECAY},
    "adam": {"optimizer": "adam", "lr": 1e-2, **DECAY},
    "adamw": {"optimizer": "adamw", "lr": 1e-2, **DECAY},
    "rmsprop": {"optimizer": "rmsprop", "lr": 1e-3, **DECAY},
    "rmsprop with momentum": {"optimizer": "rmsprop", "lr": 1e-3, "momentum": 0.9, **DECAY},
    "clip": {"momentum": 0.9, "clip_norm": 0.1, **DECAY},
    "adamw with clip": {"optimizer": "adamw", "lr": 1e-2, "clip_norm": 0.1, **DECAY},
}
each = pytest.mark.parametrize("train", FROZEN.values(), ids=FROZEN)


def pruned(setting: Setting, state: dict[str, torch.Tensor]) -> Any:
    """The bits of all pruned weights."""
    assert setting.mask is not None
    return bits([state[name][~kept] for name, kept in setting.mask.items()])


@each
def test_pruned_weights_stay_and_their_momentum_is_zero_after_every_step(setting: Make, train: dict[str, Any]) -> None:
    made = setting(**train)
    assert made.mask is not None
    for taken, pause in enumerate(made.pauses(made.begin(), 6, clock=Clock(0.0), frozen=True), start=1):
        assert pause.step == taken
        assert pruned(made, pause.run.model.state_dict()) == pruned(made, made.initial)
        for parameter, kept in pause.run.kept:
            for name, value in pause.run.optimizer.state[parameter].items():
                if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                    assert not value[kept == 0].any(), name
    end = pause.run.model.state_dict()
    for name, kept in made.mask.items():
        assert (end[name] != made.initial[name])[kept].float().mean() > 0.7  # and kept ones move


@each
def test_training_resumes_bitwise(setting: Make, train: dict[str, Any]) -> None:
    made = setting(**train)
    saved = [restart(pause) for pause in made.pauses(made.begin(), 8, clock=Clock(0.0), frozen=True)]
    whole = everything(made.trained(made.begin(), 8, frozen=True))
    for start in saved[2:7:2]:
        assert everything(made.trained(start, 8, first=0, frozen=True)) == whole


def test_frozen_weights_take_part(setting: Make) -> None:
    made = setting()
    ends = [made.trained(made.begin(), 4, frozen=frozen).run.model.state_dict() for frozen in (False, True)]
    assert made.mask is not None
    for name, kept in made.mask.items():
        assert not ends[0][name][~kept].any()
        assert not torch.equal(ends[0][name][kept], ends[1][name][kept])


def test_frozen_zeros_are_pruned_weights(setting: Make) -> None:
    """A weight that starts at zero is trained alike either way."""
    made = setting(momentum=0.9, weight_decay=0.1)
    masked_start(model := made.model(), made.initial, made.mask)
    zeroed = restart(made.trained(made.begin(), 0))
    assert bits(zeroed.model) == bits(model.state_dict())
    ends = [made.trained(zeroed, 8, frozen=frozen).run.model.state_dict() for frozen in (False, True)]
    assert bits(ends[0]) == bits(ends[1])


def test_a_restored_optimizer_from_a_denser_network(setting: Make) -> None:
    made = setting(momentum=0.9, weight_decay=0.1)
    dense = Setting(made.recipe, made.dataset, None, made.initial)
    half = restart(dense.trained(dense.begin(), 4))
    for pause in made.pauses(half, 8, clock=Clock(0.0), frozen=True):
        assert pruned(made, pause.run.model.state_dict()) == pruned(made, half.model)


def test_a_start_may_be_frozen_or_zeroed(setting: Make) -> None:
    made = setting()
    assert made.mask is not None
    model = made.model()
    masked_start(model, clone(made.initial), made.mask, frozen=True)
    assert bits(model.state_dict()) == bits(made.initial)
    masked_start(model, clone(made.initial), made.mask)
    assert all(not model.state_dict()[name][~kept].any() for name, kept in made.mask.items())

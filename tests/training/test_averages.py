"""Moving averages of the weights: what they are, what is measured by them, and that they are kept."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from lth_ray.data import evaluation_batches
from lth_ray.training import Clock, averages, evaluate
from tests.conftest import IMAGES
from tests.training.setups import Setting, bits, clone, restart

Make = Callable[..., Setting]
DECAY = 0.8


@pytest.fixture
def made(setting: Make) -> Setting:
    made = setting(ema_decay=DECAY, momentum=0.9, weight_decay=1e-3)
    model = made.model()
    averages.attach(model)
    made.initial.update(clone(model.state_dict()))
    return made


@pytest.fixture(autouse=True)
def models_keep_averages(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Setting.model

    def model(self: Setting) -> torch.nn.Module:
        built = plain(self)
        if self.recipe.train.ema_decay is not None and self.initial.keys() != built.state_dict().keys():
            averages.attach(built)
        return built

    monkeypatch.setattr(Setting, "model", model)


def test_an_average_follows_the_weights_by_its_decay(made: Setting) -> None:
    weights = [clone(dict(p.run.model.named_parameters())) for p in made.pauses(made.begin(), 6, clock=Clock(0.0))]
    end = made.trained(made.begin(), 6).run.model
    assert made.mask is not None
    for name, average in averages.named(end).items():
        expected = made.initial[name].clone()
        if name in made.mask:
            expected.masked_fill_(~made.mask[name], 0.0)
        for step in weights:
            expected = DECAY * expected + (1 - DECAY) * step[name]
        torch.testing.assert_close(average, expected, rtol=1e-5, atol=1e-7)
        if name in made.mask:
            assert not average[~made.mask[name]].any()


def test_what_is_measured_is_the_average_and_training_does_not_see_it(made: Setting, setting: Make) -> None:
    end, data = made.trained(made.begin(), 8), made.dataset
    plain = setting(momentum=0.9, weight_decay=1e-3)
    without = plain.trained(plain.begin(), 8)
    trained = dict(without.run.model.named_parameters())
    assert all(bits(p) == bits(trained[name]) for name, p in end.run.model.named_parameters())
    swapped = made.model()
    swapped.load_state_dict(end.run.model.state_dict() | averages.named(end.run.model))
    averages.begin(swapped)
    measured = evaluate(swapped, evaluation_batches(data.test, data.mean, data.std), IMAGES, made.recipe.train)
    assert end.journal["test_loss"][-1] == measured.loss
    assert end.journal["test_loss"][-1] != without.journal["test_loss"][-1]


def test_averages_are_resumed_bit_for_bit(made: Setting) -> None:
    straight = made.trained(made.begin(), 10)
    half = next(restart(p) for p in made.pauses(made.begin(), 10, pauses=frozenset({5})) if p.step == 5)
    resumed = made.trained(half, 10, first=0)
    assert bits(resumed.run.model.state_dict()) == bits(straight.run.model.state_dict())
    assert bits(resumed.journal) == bits(straight.journal)


def test_averages_begin_anew_with_a_fresh_optimizer(made: Setting) -> None:
    half = restart([*made.pauses(made.begin(), 5)][-1])
    rewound: Any = type(half)(5, half.model)
    first = next(iter(made.pauses(rewound, 6, clock=Clock(0.0)))).run.model
    model = made.model()
    model.load_state_dict(half.model)
    for name, parameter in first.named_parameters():
        assert made.mask is not None
        began = half.model[name].masked_fill(~made.mask[name], 0.0) if name in made.mask else half.model[name]
        expected = DECAY * began + (1 - DECAY) * parameter
        torch.testing.assert_close(averages.named(first)[name], expected, rtol=1e-5, atol=1e-7)

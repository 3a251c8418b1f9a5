"""The mean of weights over the ends of epochs: what it is, its batch norms' statistics, and that it is kept."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from lth_ray.config import ConfigError, Train, epochs, steps
from lth_ray.pruning import Regrowth
from lth_ray.training import Clock, averages
from lth_ray.training.batch_norm import reestimate
from lth_ray.training.segment import begin
from tests.training.setups import SEEDS, Setting, bits, clone, restart

Make = Callable[..., Setting]
EPOCH = 4  # of 300 images
FIELDS: dict[str, Any] = {
    "batch_size": 300, "length": steps(20), "momentum": 0.9, "average_from": steps(6), "evaluate_every": steps(2)
}  # fmt: skip


@pytest.fixture(autouse=True)
def models_keep_averages(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Setting.model

    def model(self: Setting) -> torch.nn.Module:
        built = plain(self)
        if self.recipe.train.is_averaged:
            averages.attach(built, over_epochs=True)
        return built

    monkeypatch.setattr(Setting, "model", model)


@pytest.fixture
def averaged(setting: Make) -> Callable[..., Setting]:
    def make(**fields: Any) -> Setting:
        made = setting(**{**FIELDS, **fields})
        made.initial.clear()
        made.initial.update(clone(made.model().state_dict()))
        return made

    return make


def ends(made: Setting, last: int) -> dict[int, dict[str, torch.Tensor]]:
    """The state after each step."""
    return {
        pause.step: clone(pause.run.model.state_dict()) for pause in made.pauses(made.begin(), last, clock=Clock(0.0))
    }


def test_it_is_the_mean_over_the_ends_of_epochs_and_before_them_the_weights(averaged: Callable[..., Setting]) -> None:
    made = averaged()
    assert made.recipe.steps_per_epoch == EPOCH
    states, names = ends(made, 20), ["conv.weight", "norm.weight", "output.bias", "hidden.weight"]
    taken = {6: [6], 7: [7], 8: [8], 9: [8], 12: [8, 12], 15: [8, 12], 16: [8, 12, 16], 20: [8, 12, 16, 20]}
    for step, of in taken.items():
        for name in names:
            mean = torch.stack([states[one][name] for one in of]).mean(0)
            found = states[step][f"averages.{name.replace('.', '/')}"]
            torch.testing.assert_close(found, mean, rtol=1e-5, atol=1e-7)
        assert int(states[step]["averages.collected"]) == (0 if step < 8 else len(of))
    assert made.mask is not None
    for name, kept in made.mask.items():
        assert not states[20][f"averages.{name.replace('.', '/')}"][~kept].any()


@pytest.mark.parametrize("group", [None, 100], ids=["whole", "groups"])
def test_its_statistics_are_measured_anew_over_the_epoch(averaged: Callable[..., Setting], group: int | None) -> None:
    made = averaged(batch_norm_group=group)
    states = ends(made, 12)
    run = begin("key", made.recipe, made.model(), made.dataset, None, SEEDS, made.begin())
    model = made.model()
    model.load_state_dict(averages.measured(states[12]) | {n: t for n, t in states[12].items() if "averages" in n})
    batches = [run.batches.batch(step)[0] for step in range(8, 12)]
    reestimate(model, [(part,) for batch in batches for part in batch.split(group or 300)])
    for name in ("norm.running_mean", "norm.running_var"):
        found = states[12][f"averages.{name.replace('.', '/')}"]
        torch.testing.assert_close(found, model.state_dict()[name], rtol=1e-5, atol=1e-6)
        assert not torch.equal(found, states[12][name])
    plain = averaged(batch_norm_group=group, average_from=None, ema_decay=0.5)  # whose own statistics are the same
    other = ends(plain, 12)[12]
    assert all(bits(other[name]) == bits(states[12][name]) for name in states[12] if "averages" not in name)


@pytest.mark.parametrize("precision", ["fp32", "bfp8"])
def test_it_is_resumed_bit_for_bit_wherever_training_pauses(averaged: Callable[..., Setting], precision: str) -> None:
    made = averaged(precision=precision)
    straight = made.trained(made.begin(), 16)
    for at in (5, 8, 10):
        half = next(restart(p) for p in made.pauses(made.begin(), 16, pauses=frozenset({at})) if p.step == at)
        resumed = made.trained(half, 16, first=0)
        assert bits(resumed.run.model.state_dict()) == bits(straight.run.model.state_dict())
        assert bits(resumed.journal) == bits(straight.journal)


def test_what_is_measured_is_the_mean(averaged: Callable[..., Setting]) -> None:
    made, plain = averaged(), averaged(average_from=None, ema_decay=1e-9)  # an average that is the weights
    found, own = (one.trained(one.begin(), 16).journal for one in (made, plain))
    same = [step for step, one, other in zip(found["step"], found["test_loss"], own["test_loss"], strict=True)
            if one == pytest.approx(other, rel=1e-6)]  # fmt: skip
    assert same == [2, 4, 6]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"average_from": steps(17)}, "Train.average_from = steps\\(17\\): no epoch of 4 steps ends"),
        ({"ema_decay": 0.9}, "Train.ema_decay = 0.9 and Train.average_from"),
    ],
)
def test_what_cannot_be_averaged_is_refused(setting: Make, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        setting(**{**FIELDS, "length": steps(19), **fields})


def test_a_mean_may_be_what_is_pruned() -> None:
    assert Train(epochs(4), lr=0.1, average_from=epochs(2), ema_for="evaluation_and_pruning").is_averaged
    with pytest.raises(ConfigError, match="there is no average"):
        Train(epochs(4), lr=0.1, ema_for="evaluation_and_pruning")


@pytest.mark.parametrize("rule", [Regrowth("rigl", every=3, fraction=0.4, end=10), None], ids=["rigl", "static"])
def test_an_epoch_that_ends_with_an_update_of_the_mask_is_averaged_too(averaged: Make, rule: Regrowth | None) -> None:
    """Of the updates at steps 0, 3, 6 and 9, that at step 3 ends the first epoch."""
    made = averaged(average_from=steps(0))
    last = made.trained(made.begin(), 3 * EPOCH, regrowth=rule)
    collected = averages.collected(last.run.model)
    assert collected is not None
    assert int(collected) == 3

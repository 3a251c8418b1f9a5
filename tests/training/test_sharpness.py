"""Train.sam_radius: two passes a step by hand, what stays where it is, resumption, teams and backends."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from lth_ray.config import ConfigError, Train, steps
from lth_ray.training import Clock, Team
from lth_ray.training.backends import EAGER, FUSED_NORM, backend_of
from lth_ray.training.compiled.captured import captures
from lth_ray.training.loop import seed_dropout
from lth_ray.training.segment import begin
from lth_ray.training.together.replicable import check_replicable
from tests.training.setups import SEEDS, Setting, clone, everything, restart
from tests.training.teams import together

Make = Callable[..., Setting]
RADIUS = 0.3


def test_its_two_passes(setting: Make) -> None:
    """w' = w - lr g(w + r g(w) / |g(w)|), g under the mask, of one batch and dropout; statistics of the first pass."""
    made = setting(sam_radius=RADIUS, lr=0.5)
    assert made.mask is not None
    run = begin("key", made.recipe, made.model(), made.dataset, made.mask, SEEDS, made.begin())
    images, labels = run.batches.batch(0)
    model = made.model()
    model.load_state_dict(clone(run.model.state_dict()))
    model.train()
    parameters = dict(model.named_parameters())

    def gradients() -> dict[str, torch.Tensor]:
        seed_dropout(SEEDS.dropout, 0, torch.device("cpu"))
        found = torch.autograd.grad(F.cross_entropy(model(images), labels), list(parameters.values()))
        return {
            name: one * made.mask[name] if made.mask and name in made.mask else one
            for name, one in zip(parameters, found, strict=True)
        }

    first, weights = gradients(), {name: one.detach().clone() for name, one in parameters.items()}
    statistics = model.norm.running_mean.clone(), model.norm.running_var.clone()
    norm = sum(float(one.double().square().sum()) for one in first.values()) ** 0.5
    with torch.no_grad():
        for name, one in parameters.items():
            one += RADIUS * first[name] / norm
    second = gradients()
    assert not torch.allclose(first["output.weight"], second["output.weight"], rtol=0.01)
    pause = next(iter(made.pauses(made.begin(), 12, clock=Clock(0.0))))
    assert pause.step == 1
    state = pause.run.model.state_dict()
    for name, weight in weights.items():
        torch.testing.assert_close(state[name], weight - 0.5 * second[name], rtol=1e-5, atol=1e-7)
    for name, kept in made.mask.items():
        assert not state[name][~kept].any()
    assert torch.equal(state["norm.running_mean"], statistics[0])
    assert torch.equal(state["norm.running_var"], statistics[1])
    assert int(state["norm.num_batches_tracked"]) == 1


@pytest.mark.parametrize("fields", [{"momentum": 0.9}, {"optimizer": "adam", "lr": 0.01, "batch_norm_group": 10}])
def test_a_training_that_goes_on_is_the_whole_one(setting: Make, fields: Any) -> None:
    made = setting(sam_radius=RADIUS, **fields)
    whole = made.trained(made.begin(), 12)
    half = next(restart(p) for p in made.pauses(made.begin(), 12, pauses=frozenset({7})) if p.step == 7)
    assert everything(made.trained(half, 12, first=0)) == everything(whole)
    plain = setting(**fields)
    assert everything(plain.trained(plain.begin(), 12)) != everything(whole)


def test_frozen_weights_and_those_without_a_gradient_stay(setting: Make) -> None:
    made = setting(sam_radius=RADIUS, weight_decay=0.1, options={"dropout": 0.0})
    assert made.mask is not None
    end = made.trained(made.begin(), 5, frozen=True)
    for name, kept in made.mask.items():
        assert torch.equal(end.run.model.state_dict()[name][~kept], made.initial[name][~kept])


def test_any_number_of_workers_gives_the_same(setting: Make) -> None:
    made = setting(sam_radius=RADIUS, batch_norm_group=10)

    def work(team: Team) -> Any:
        return clone(made.trained(made.begin(), 6, team=team, measured=False).run.model.state_dict())

    (alone,) = together(1, work)
    first, second = together(2, work)
    for name, value in alone.items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], value, rtol=1e-4, atol=1e-6)


def test_compiled_steps_are_left_to_autograd(setting: Make) -> None:
    lenet = setting(model="lenet_16", augment="none", sam_radius=RADIUS)
    assert backend_of(lenet.recipe) == EAGER
    assert not captures(lenet.recipe)
    assert lenet.trained(lenet.begin(), 3).run.backend == EAGER
    resnet = setting(model="cifar_resnet20_4", sam_radius=RADIUS, channels_last=True, masked=False, lr=0.01)
    ends = []
    for made in (
        resnet,
        replace(resnet, recipe=replace(resnet.recipe, train=replace(resnet.recipe.train, backend="eager"))),
    ):
        run = made.trained(made.begin(), 3, measured=False).run
        ends.append((run.backend, run.model.state_dict()))
    assert ends[1][0] == EAGER
    assert ends[0][0] in (FUSED_NORM, EAGER)  # the latter without a C++ compiler
    for name, value in ends[1][1].items():
        torch.testing.assert_close(ends[0][1][name], value, rtol=1e-3, atol=1e-4)


def test_what_it_does_not_go_with(setting: Make) -> None:
    with pytest.raises(ConfigError, match=r"Train.sam_radius = 0.05: block floating point"):
        Train(steps(1), lr=0.1, sam_radius=0.05, precision="bfp8")
    with pytest.raises(ConfigError, match=r"Train.sam_radius = 0.3: networks cannot be trained together with it"):
        check_replicable(setting(sam_radius=RADIUS, replicates=2).recipe)

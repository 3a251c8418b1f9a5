"""Runs that are stacked to be trained together: their weights, what they are fed with, and which cannot be."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.func import vmap

from lth_ray.config import ConfigError
from lth_ray.data import Batches
from lth_ray.training import replicate, train_together
from lth_ray.training import train as train_alone
from lth_ray.training.compiled.static_batches import Copied, feed
from lth_ray.training.together.replicates import stack
from tests.training.compiled.test_captured import recipe_of
from tests.training.setups import bits
from tests.training.test_resume import OPTIMIZERS
from tests.training.together.test_replicates import a_run, some

REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "rmsprop": (r"Train\.optimizer = 'rmsprop'", OPTIMIZERS["rmsprop"]),
    "clipping": (r"Train\.clip_norm = 0\.1", OPTIMIZERS["clip"]),
    "an average": (r"Train\.ema_decay = 0\.9", {"ema_decay": 0.9}),
    "groups": (r"Train\.batch_norm_group = 16", {"batch_norm_group": 16}),
    "compiled": (r"Train\.compile = True", {"compile": True}),
}


@pytest.mark.parametrize(("message", "given"), REFUSED.values(), ids=REFUSED)
def test_recipes_that_cannot_be_stacked(message: str, given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=message):
        replicate(some(1, **given))


def test_networks_that_draw_are_refused() -> None:
    runs = some(1, model="conv2_2")
    runs[0].recipe = recipe_of("conv2_2", {"dropout": 0.5})
    with pytest.raises(ConfigError, match=r"Model\.options\['dropout'\] = 0\.5"):
        replicate(runs)


def test_only_runs_that_are_alike_are_trained_together() -> None:
    for others in ([a_run(1, momentum=0.9)], some(2)[1:]):
        if others[0].recipe == a_run(0).recipe:
            others[0].step = 3
        with pytest.raises(ConfigError, match="run 1 is of another recipe, step or device than run 0"):
            replicate([a_run(0), *others])
    frozen = a_run(1)
    frozen.frozen = True
    with pytest.raises(ConfigError, match="run 1: frozen weights"):
        replicate([a_run(0), frozen])
    runs = some(2, optimizer="adam")
    train_alone(runs[1], 2)
    runs[1].step = 0
    with pytest.raises(ConfigError, match="different numbers of steps"):
        stack(runs).advance(1)


def test_it_is_one_optimizer_over_stacked_weights() -> None:
    replicates = stack(some(3))
    assert replicates.parameters["fc1.weight"].shape == (3, 16, 64)
    stepped = replicates.optimizer.param_groups[0]["params"]
    assert [id(one) for one in stepped] == [id(one) for one in replicates.parameters.values()]


def test_gradients_come_as_the_weights_lie() -> None:
    """So that no optimizer step has to copy them."""
    replicates = stack(some(3))
    replicates.advance(1)
    losses = vmap(replicates._loss)(replicates.parameters, replicates.buffers, replicates.feed.batch())
    found = torch.autograd.grad(losses.sum(), [*replicates.parameters.values()])
    assert [gradient.stride() for gradient in found] == [p.stride() for p in replicates.parameters.values()]


def test_runs_with_images_of_their_own_are_fed_from_those() -> None:
    runs = some(2, dtype=torch.float32)
    other = runs[1].batches
    assert isinstance(other, Batches)
    own = replace(other.split, images=255 - other.split.images)
    runs[1].batches = Batches(own, (0.3,), (0.4,), 32, 1, 1)
    fed = feed([run.batches for run in runs], 0)
    assert isinstance(fed, Copied)
    fed.begin(2, 3)
    fed.place(1)
    for number, run in enumerate(runs):
        assert bits([part[number] for part in fed.batch()]) == bits(list(run.batches.batch(3)))


def test_losses_of_bf16_networks_are_float32_also_where_the_head_has_no_bias() -> None:
    def network(num_classes: int) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, num_classes, bias=False))

    made: Any = {"model": network, "dtype": torch.float32, "precision": "bf16", "lr": 1.0}
    together, alone = (stack([a_run(n, **made) for n in (0, 4)]), [a_run(n, **made) for n in (0, 4)])
    train_together(together, 1)
    for ours, single in zip(together.runs, alone, strict=True):
        train_alone(single, 1)
        assert float(ours.loss_sum) == pytest.approx(float(single.loss_sum), rel=1e-4)
        assert float(ours.loss_sum) != float(ours.loss_sum.bfloat16())

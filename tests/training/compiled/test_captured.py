"""Captured steps, called on a CPU as they are captured on a GPU: the eager trajectory, bit for bit."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from lth_ray.config import Data, Model, Train, steps
from lth_ray.data import Batches, Identity
from lth_ray.training import Clock, Recipe, Run, Start, averages, capture, train, train_segment
from lth_ray.training import segment as segments
from lth_ray.training.compiled.captured import Captured, captures, rehearse
from lth_ray.training.compiled.static_batches import Copied, Gathered, feed
from lth_ray.training.loop import Eager
from tests.training.setups import SEEDS, Setting, bits, clone, everything, restart
from tests.training.test_resume import OPTIMIZERS, each

Make = Callable[..., Setting]
LENET = "lenet_30_20"
CAN = [name for name, given in OPTIMIZERS.items() if given.get("optimizer") != "rmsprop"]
CONVOLUTIONAL = ("conv2_2", "cifar_resnet8_4")


@pytest.fixture(autouse=True)
def on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments whose recipe allows it take the steps that a GPU would capture."""
    monkeypatch.setattr(segments, "fuse", lambda run: None)
    monkeypatch.setattr(segments, "capture", lambda run: Captured(run) if captures(run.recipe) else None)


def trajectory(pause: Any) -> Any:
    """All bits of a segment but those of its optimizer, in which a zero may have another sign."""
    run = pause.run
    return bits([run.step, run.model.state_dict(), pause.journal, run.loss_sum, run.optimizer.param_groups[0]["lr"]])


@pytest.mark.parametrize(
    ("model", "name"),
    [*((LENET, name) for name in CAN), *((model, name) for model in CONVOLUTIONAL for name in ("nesterov", "adam"))],
)
def test_they_are_the_eager_steps(setting: Make, model: str, name: str) -> None:
    augment, train = "none" if model == LENET else "crop_flip", OPTIMIZERS[name]
    made = [setting(model, augment=augment, backend=b, **train) for b in ("auto", "eager")]
    ours, eager = (each_made.trained(each_made.begin(), 12) for each_made in made)
    assert isinstance(ours.run.stepper, Captured)
    assert isinstance(eager.run.stepper, Eager)
    assert trajectory(ours) == trajectory(eager)
    states = [end.run.optimizer.state_dict() for end in (ours, eager)]
    assert states[0]["param_groups"] == states[1]["param_groups"]
    for one, other in zip(states[0]["state"].values(), states[1]["state"].values(), strict=True):
        assert all(torch.equal(one[name], other[name]) for name in other)


@each(["nesterov", "adam", "clip"])
@pytest.mark.parametrize("augment", ["none", "flip"])
def test_where_it_pauses_changes_no_bit(setting: Make, train: dict[str, Any], augment: str) -> None:
    made = setting(LENET, augment=augment, batch_size=300, **train)  # 4 steps an epoch
    whole = everything(made.trained(made.begin(), 12))
    saved = [restart(pause) for pause in made.pauses(made.begin(), 12, clock=Clock(every_steps=1))]
    for start in (saved[0], saved[3], saved[6]):
        assert everything(made.trained(start, 12, first=0)) == whole
    for every in (1, 5):
        assert everything(made.trained(made.begin(), 12, clock=Clock(every_steps=every))) == whole


@each(["nesterov", "adam"])
def test_frozen_weights_and_averages(setting: Make, train: dict[str, Any]) -> None:
    for frozen, decay in ((True, None), (False, 0.9)):
        made = [setting(LENET, backend=backend, ema_decay=decay, **train) for backend in ("auto", "eager")]
        ends = []
        for each_made in made:
            model = each_made.model()
            if decay:
                averages.attach(model)
            segment = train_segment(
                "key", each_made.recipe, model, each_made.dataset, each_made.mask, SEEDS,
                Start(0, clone(model.state_dict())), 12, frozen=frozen,
            )  # fmt: skip
            ends.append([*segment][-1])
        assert trajectory(ends[0]) == trajectory(ends[1])
        assert bool(ends[0].run.averages) == bool(decay)


def test_images_are_gathered_by_position_where_a_batch_is_no_more_than_that(setting: Make) -> None:
    for augment, kind in (("none", Gathered), ("flip", Copied)):
        made = setting(LENET, augment=augment)
        run = made.trained(made.begin(), 0).run
        assert isinstance(run.batches, Batches)
        fed = feed([run.batches], 0)
        assert type(fed) is kind
        fed.begin(3, 5)
        fed.place(2)
        inputs, labels = fed.batch()
        assert bits([inputs[0], labels[0]]) == bits(list(run.batches.batch(5)))


def test_a_segment_of_no_steps_leaves_the_optimizer_fresh(setting: Make) -> None:
    made = setting(LENET, momentum=0.9)
    end = made.trained(made.begin(), 0)
    assert not end.run.optimizer.state
    assert end.run.optimizer.param_groups[0]["lr"] == 0.05


@each(["momentum", "adam"])
def test_a_rehearsal_counts_for_nothing(setting: Make, train: dict[str, Any]) -> None:
    """A GPU needs several steps before it captures, none of which is taken."""
    made = setting("cifar_resnet8_4", **train)
    run = made.trained(made.begin(), 4).run
    steps = run.stepper
    assert isinstance(steps, Captured)
    moments = [value for state in run.optimizer.state.values() for value in state.values()]
    weights = [parameter.detach() for parameter in run.model.parameters()]
    changed = [*weights, *run.model.buffers(), *moments, run.loss_sum]
    before = bits(changed)
    run.model.train()
    rehearse(steps.step, changed)
    assert bits(changed) == before
    assert all(parameter.grad is None for parameter in run.model.parameters())
    steps.step()
    assert all(after != was for after, was in zip(bits(weights), before, strict=False))


REFUSED: dict[str, dict[str, Any]] = {
    "asked for": {"backend": "eager"},
    "rmsprop": {"optimizer": "rmsprop"},
    "groups": {"batch_norm_group": 30},
    "synchronised": {"sync_batch_norm": True},
    "compiled": {"compile": True},
    "an own loss": {"loss": lambda model, batch: (model(batch[0]).sum(), {})},
}


def recipe_of(model: Any, options: dict[str, Any] | None = None, **given: Any) -> Recipe:
    data = Data("digits", batch_size=60, validation=0)
    identity = Identity("0" * 64, 1000, 0, 100, (1, 8, 8), 10)
    return Recipe(Model(model, options=options or {}), data, Train(steps(10), lr=1.0, **given), identity)


@pytest.mark.parametrize("given", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_captured(given: dict[str, Any]) -> None:
    assert captures(recipe_of(LENET))
    assert not captures(recipe_of(LENET, **given))


@pytest.mark.parametrize(
    ("model", "small"),
    [
        ("lenet_300_100", True), ("conv6", True), ("conv2_8", True), ("cifar_resnet20", True), ("cifar_vgg16", True),
        ("resnet50", False), ("vgg16", False), (lambda: torch.nn.Linear(1, 1), False),
        (lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)), True),
    ],
)  # fmt: skip
def test_launch_bound_networks(model: Any, small: bool) -> None:
    assert captures(recipe_of(model)) is small


def test_networks_that_draw_are_not_captured() -> None:
    assert not captures(recipe_of("conv2", {"dropout": 0.5}))
    assert captures(recipe_of("conv2", {"dropout": 0.0}))


def test_on_a_cpu_nothing_is_captured(setting: Make) -> None:
    made = setting(LENET)
    run = Run("key", made.recipe, made.model(), made.trained(made.begin(), 0).run.batches, 0, made.mask, 0)
    assert captures(run.recipe)
    assert capture(run) is None
    train(run, 1)
    assert run.backend == "eager"

"""Evaluation against a plain loop, one's own loss and step, and losses that are not finite."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from lth_ray.config import ACCURACY, Train, steps
from lth_ray.data import Batch, Split, evaluation_batches
from lth_ray.tasks import Evaluation
from lth_ray.training import Clock, Pause, columns, evaluate
from lth_ray.training.loop import is_finite
from tests.conftest import IMAGES
from tests.training.counted import Counted
from tests.training.setups import Setting, everything, restart

Make = Callable[..., Setting]
TRAIN = Train(steps(1), lr=0.1)


def plain(model: torch.nn.Module, split: Split, mean: float, std: float) -> tuple[float, float]:
    """Mean loss and accuracy, one image at a time in float64."""
    model = model.double().eval()
    loss, right = 0.0, 0
    with torch.no_grad():
        for image, label in zip(split.images, split.labels, strict=True):
            logits = model(((image.double() / split.white - mean) / std)[None])
            loss += float(F.cross_entropy(logits, label[None]))
            right += int(logits.argmax()) == int(label)
    return loss / len(split), right / len(split)


@pytest.mark.parametrize("size", [7, 100, 399, 400, 2000])
def test_evaluation_is_exact_over_the_whole_set(setting: Make, size: int) -> None:
    made = setting(masked=False)
    data = made.dataset
    model = made.trained(made.begin(), 8).run.model
    measured = evaluate(model, evaluation_batches(data.test, data.mean, data.std, size), IMAGES, TRAIN)
    loss, accuracy = plain(model, data.test, data.mean[0], data.std[0])
    assert measured.n == 400
    assert measured.loss == pytest.approx(loss, rel=1e-5)
    assert measured.value == accuracy


def test_evaluation_uses_and_keeps_batch_norm_and_mode(setting: Make) -> None:
    made = setting()
    model = made.model()
    for training in (True, False):
        model.train(training)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        evaluate(model, evaluation_batches(made.dataset.test, (0.0,), (1.0,)), IMAGES, TRAIN)
        assert model.training is training
        assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_evaluation_is_not_smoothed(setting: Make) -> None:
    made = setting()
    model, batches = made.model(), list(evaluation_batches(made.dataset.test, (0.0,), (1.0,)))
    smoothed = Train(steps(1), lr=0.1, label_smoothing=0.3)
    assert evaluate(model, batches, IMAGES, smoothed) == evaluate(model, batches, IMAGES, TRAIN)


def test_the_journal(setting: Make) -> None:
    made = setting(warmup=steps(8), augment="none", options={"dropout": 0.0}, evaluate_every=steps(5))
    end = made.trained(made.begin(), 12)
    assert tuple(end.journal) == columns(ACCURACY)
    assert end.journal["step"] == [5, 10, 12]
    assert end.journal["lr"] == pytest.approx([0.05 * 4 / 8, 0.05, 0.05])
    assert end.journal["epoch"] == pytest.approx([step / made.recipe.steps_per_epoch for step in (5, 10, 12)])
    data = made.dataset
    assert data.validation is not None
    for name, split in (("validation", data.validation), ("test", data.test)):
        measured = evaluate(end.run.model, evaluation_batches(split, data.mean, data.std), IMAGES, made.recipe.train)
        assert end.journal[f"{name}_loss"][-1] == measured.loss
        assert end.journal[f"{name}_accuracy"][-1] == measured.value
    assert json.loads(json.dumps(end.journal, allow_nan=False)) == end.journal


def test_train_loss_is_the_mean_since_the_last_row(setting: Make) -> None:
    often, seldom = setting(evaluate_every=steps(1)), setting(evaluate_every=steps(4))
    each = often.trained(often.begin(), 8).journal["train_loss"]
    mean = seldom.trained(seldom.begin(), 8).journal["train_loss"]
    assert mean == pytest.approx([sum(each[:4]) / 4, sum(each[4:]) / 4])


def test_without_validation_there_is_none(setting: Make) -> None:
    made = setting(validation=0)
    journal = made.trained(made.begin(), 4).journal
    assert journal["validation_loss"] == journal["validation_accuracy"] == [None]
    assert journal["test_loss"] != [None]


def test_training_learns(setting: Make) -> None:
    made = setting("lenet_32_16", augment="none", masked=False, optimizer="adam", lr=5e-3, length=steps(200))
    assert made.trained(made.begin(), 200, measured=True).journal["test_accuracy"][-1] > 0.9


def squared(model: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, Any]]:
    inputs, labels = batch
    logits = model(inputs)
    loss = F.mse_loss(logits, F.one_hot(labels, 10).float())
    return loss, {"size": logits.detach().abs().mean(), "loss": 99.0}


def test_ones_own_loss_is_trained_and_measured(setting: Make) -> None:
    made = setting(loss=squared)
    end = made.trained(made.begin(), 4)
    data = made.dataset
    with torch.no_grad():
        run = end.run.model.eval()
        (batch,) = evaluation_batches(data.test, data.mean, data.std)
        expected = float(squared(run, batch)[0])
    assert end.journal["test_loss"][-1] == pytest.approx(expected, rel=1e-5)
    assert end.journal["train_size"][-1] > 0
    assert end.journal["train_loss"][-1] < 2, "a metric may not take the place of the loss"


def test_ones_own_step_serves_training_alone(setting: Make) -> None:
    own, usual = setting(step=squared), setting()
    end = own.trained(own.begin(), 4)
    data, measured = own.dataset, usual.recipe.train
    expected = evaluate(end.run.model, evaluation_batches(data.test, data.mean, data.std), IMAGES, measured)
    assert end.journal["test_loss"][-1] == expected.loss
    assert end.journal["test_accuracy"][-1] == expected.value


def test_ones_own_metrics_survive_a_checkpoint(setting: Make) -> None:
    made = setting(loss=squared)
    saved = [restart(pause) for pause in made.pauses(made.begin(), 8, clock=Clock(0.0))]
    assert everything(made.trained(saved[5], 8, first=0)) == everything(made.trained(made.begin(), 8))


class NanFrom:
    """A loss that is NaN from its n-th call on."""

    def __init__(self, n: int) -> None:
        self.left = n

    def __call__(self, model: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, Any]]:
        self.left -= 1
        loss = F.cross_entropy(model(batch[0]), batch[1])
        return (loss if self.left > 0 else loss * float("nan")), {}


@pytest.mark.parametrize(
    "options",
    [{}, {"clock": Clock(0.0)}, {"pauses": frozenset({5, 6, 7})}],
    ids=["plain", "checkpoints", "pauses"],
)
def test_a_loss_that_is_not_finite_ends_the_segment(setting: Make, options: dict[str, Any]) -> None:
    """At the next evaluation, wherever else it pauses."""
    made = setting(step=NanFrom(6))
    pauses = [(pause.step, pause.finite, dict(pause.journal)) for pause in made.pauses(made.begin(), 12, **options)]
    step, finite, journal = pauses[-1]
    assert (step, finite) == (8, False)
    assert all(finite for _, finite, _ in pauses[:-1])
    assert max(step for step, _, _ in pauses[:-1]) < 6
    assert journal["step"] == [4, 8]
    assert journal["train_loss"][0] is not None
    assert journal["train_loss"][1] is None
    assert journal["test_loss"][1] is None
    assert json.dumps(journal, allow_nan=False)


def test_an_unmeasured_segment_ends_too(setting: Make) -> None:
    made = setting(step=NanFrom(3))
    end = made.trained(made.begin(), 12, pauses=frozenset({5}), measured=False)
    assert (end.step, end.finite) == (5, False)


def overflowing(model: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, Any]]:
    """A finite loss whose gradient is not."""
    parameter = next(model.parameters())
    return F.cross_entropy(model(batch[0]), batch[1]) + (parameter.sum() - parameter.detach().sum()) * 3e38, {}


def test_weights_that_are_not_finite_end_the_segment(setting: Make) -> None:
    made = setting(step=overflowing, lr=100.0, length=steps(4), evaluate_every=steps(1))
    ends: list[Pause] = list(made.pauses(made.begin(), 4))
    assert [(pause.step, pause.finite) for pause in ends] == [(1, False)]


def test_a_part_of_the_images(setting: Make) -> None:
    made = setting(evaluation_images=30)
    end = made.trained(made.begin(), 4)
    data = made.dataset
    first = Split(data.test.images[:30], data.test.labels[:30], data.test.white)
    measured = evaluate(end.run.model, evaluation_batches(first, data.mean, data.std), IMAGES, made.recipe.train)
    assert measured == Evaluation(end.journal["test_loss"][-1], end.journal["test_accuracy"][-1], 30)


def test_metrics_that_carry_a_gradient_are_let_go_of() -> None:
    """A step's graph would otherwise be kept for as long as its metrics are."""

    def own(model: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, Any]]:
        loss = F.cross_entropy(model(batch[0]), batch[1])
        return loss, {"double": 2 * loss, "plain": 3.0}

    model = torch.nn.Linear(4, 3)
    batch = torch.ones(2, 4), torch.tensor([0, 1])
    loss, metrics = IMAGES.step(replace(TRAIN, loss=own))(model, batch)
    assert loss.requires_grad
    assert not metrics["double"].requires_grad
    assert float(metrics["double"]) == pytest.approx(2 * float(loss.detach()))
    assert metrics["plain"] == 3.0


@pytest.mark.parametrize("where", ["nothing", "loss", "first", "last"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_training_is_finite_or_not_by_one_look_at_the_device(setting: Any, where: str, value: float) -> None:
    made = setting("cifar_resnet8_4", momentum=0.9)
    run = made.trained(made.begin(), 1).run
    parameters = list(run.model.parameters())
    with torch.no_grad():
        if where == "loss":
            run.loss_sum.fill_(value)
        elif where != "nothing":
            parameters[0 if where == "first" else -1].view(-1)[-1] = value
    with Counted() as seen:
        assert is_finite(run) is (where == "nothing")
    assert seen.waited == 1

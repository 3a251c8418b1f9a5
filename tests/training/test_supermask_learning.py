"""Supermasks learn by the same loop as weights do: their scores alone, and to the same bits after a resume."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from lth_ray import models, pruning
from lth_ray.config import Data, Model, SupermaskRule, Train, steps
from lth_ray.data import evaluation_batches, identify, load
from lth_ray.training import Clock, Pause, Recipe, Seeds, Start, Supermask, evaluate, supermask_state, train_segment
from lth_ray.training.loop import seed_dropout
from tests.conftest import IMAGES
from tests.training.setups import bits, everything, restart


def recipe(**train: Any) -> Recipe:
    data = Data("digits", batch_size=60, validation=200)
    fields = {"length": steps(300), "optimizer": "adam", "lr": 0.1, "evaluate_every": steps(100), **train}
    return Recipe(Model("lenet_100_50"), data, Train(**fields), identify(data))


def learned(rule: SupermaskRule, start: Start | None = None, last: int = 12, **options: Any) -> Iterator[Pause]:
    """Learning on digits, every time from a newly built wrapper."""
    asked = recipe(**({"evaluate_every": steps(4)} if last < 100 else {}))
    network = models.build("lenet_100_50", 10, (1, 8, 8), seed=0)
    mask = pruning.dense_mask(network)
    start = start or Start(0, supermask_state(network.state_dict(), mask, rule, 5))
    supermask = Supermask(models.build("lenet_100_50", 10, (1, 8, 8), seed=None), mask, rule)
    return train_segment("key", asked, supermask, load(asked.data), None, Seeds(1, 2, 3), start, last, **options)


LEARNED = {
    "bernoulli": SupermaskRule("bernoulli", rescale=True, values="signed_constant"),
    "edge-popup": SupermaskRule("edge_popup", rescale=True, values="signed_constant"),
}
each = pytest.mark.parametrize("rule", LEARNED.values(), ids=LEARNED)


@each
def test_a_supermask_learns_while_the_weights_stay(rule: SupermaskRule) -> None:
    *_, end = learned(rule, last=300)
    accuracies = end.journal["test_accuracy"]
    assert accuracies[-1] > 0.85  # 10 % by chance
    network = models.build("lenet_100_50", 10, (1, 8, 8), seed=0).state_dict()
    state = supermask_state(network, pruning.dense_mask(models.build("lenet_100_50", 10, (1, 8, 8))), rule, 5)
    trained = end.run.model.state_dict()
    for name, value in state.items():
        assert (bits(trained[name]) == bits(value)) == name.startswith("network."), name


@each
def test_learning_resumes_bitwise(rule: SupermaskRule) -> None:
    *_, whole = learned(rule)
    saved = [restart(pause) for pause in learned(rule, clock=Clock(0.0))]
    for start in saved[3:11:3]:
        *_, end = learned(rule, start, first=0)
        assert everything(end) == everything(whole)


@each
def test_an_evaluation_repeats_and_changes_no_training(rule: SupermaskRule) -> None:
    *_, whole = learned(rule)
    torch.default_generator.manual_seed(77)
    *_, again = learned(rule)
    *_, unmeasured = learned(rule, measured=False)
    assert everything(again) == everything(whole)
    assert bits(unmeasured.run.model.state_dict()) == bits(whole.run.model.state_dict())


def test_an_evaluation_depends_on_the_seed_and_the_step_alone() -> None:
    """Also where no step was taken before it; training's draws at that step are others."""
    journals = []
    for seed in (1, 2):
        torch.default_generator.manual_seed(seed)
        *_, end = learned(LEARNED["bernoulli"], last=0)
        journals.append(end.journal)
    assert journals[0] == journals[1]
    dataset = load(recipe().data)
    assert dataset.validation is not None  # which is measured first
    images = evaluation_batches(dataset.validation, dataset.mean, dataset.std)
    seed_dropout(Seeds(1, 2, 3).dropout, 0, torch.device("cpu"))  # as the first step of training does
    assert evaluate(end.run.model, images, IMAGES, recipe().train).loss != journals[0]["validation_loss"][0]

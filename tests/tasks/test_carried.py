"""Carried state, beside weights and optimizer: a task whose every loss depends on all steps before it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lth_ray import tasks
from lth_ray.config import ConfigError, Model, Prune, Rewind, Study, Table, Train, set_fields, steps
from lth_ray.lottery import make_plan
from lth_ray.lottery.execution.networks import build
from lth_ray.tasks.resident import ResidentBatches
from lth_ray.tasks.table import Rows
from lth_ray.training import Recipe, Seeds, Start, Team, train_segment
from tests.carried_out import whole_and_killed
from tests.training.teams import together


@dataclass(frozen=True)
class Drifting(Table):
    """Rows whose targets drift by what each place in the batch has seen so far."""


class DriftingBatches(ResidentBatches):
    """Beside the rows, the drift of each place: a running mean of the targets that it has had."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.carried = {"drift": torch.zeros(len(self._part)), "seen": torch.zeros(len(self._part), dtype=torch.int64)}

    def carry_on(self, carried: Any) -> None:
        self.carried = dict(carried)

    def batch(self, step: int, model: Any = None) -> Any:
        return *super().batch(step, model), self.carried["drift"], self.carried["seen"]


class DriftingRows(Rows):
    carries = True

    def stream(self, loaded: Any, order_seed: int, augmentation_seed: int, part: range | None = None) -> Any:
        return DriftingBatches(loaded.train, self.config.batch_size, order_seed, part)

    def loss(self, train: Train) -> Any:
        def squared_error(model: Any, batch: Any) -> Any:
            features, targets, drift, seen = batch
            loss = (model(features).squeeze(1) - targets - drift).square().mean()
            return loss, {}, {"drift": 0.9 * drift + 0.1 * targets, "seen": seen + 1}

        return squared_error


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tasks.TASKS, Drifting, DriftingRows)


STUDY = Study(
    "drifting",
    model=Model("lenet_8"),
    data=Drifting("diabetes", batch_size=32, validation=60, test=60),
    train=Train(steps(30), optimizer="adam", lr=5e-3, evaluate_every=steps(10)),
    prune=Prune(scope="layer", fraction=0.5, rounds=1),
    rewind=[Rewind(steps(7), optimizer="restored")],
    seeds=[0],
)


def recipe(**changes: Any) -> Recipe:
    study = set_fields(STUDY, changes)
    return Recipe(study.model, study.data, study.train, tasks.task_of(study.data).identify())


def trained(given: Recipe, last: int, start: Start | None = None, team: Team | None = None) -> Any:
    """The end of a training, alone or as one of a team."""
    model = build(given, seed=1)
    start = start or Start(0, {name: value.clone() for name, value in model.state_dict().items()})
    arguments = given, model, given.task.load(), None, Seeds(1, 2, 3), start, last
    return list(train_segment("key", *arguments, team=team or Team()))[-1].run


def test_a_killed_training_goes_on_with_what_was_carried(tmp_path: Path) -> None:
    whole, killed = whole_and_killed(STUDY, tmp_path, kills=(13, 40), every_steps=5)
    assert killed == whole


def test_what_is_carried_matters() -> None:
    """So that the test before this one could fail."""
    given = recipe()
    half = trained(given, 15)
    state = {name: value.clone() for name, value in half.model.state_dict().items()}
    beside = {**half.optimizer.state_dict(), "carried": half.carried}
    assert half.carried["seen"].tolist() == [15] * 32
    whole = trained(given, 30).model.state_dict()
    resumed = trained(given, 30, Start(15, state, beside)).model.state_dict()
    forgetful = trained(given, 30, Start(15, state, half.optimizer.state_dict())).model.state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert not all(torch.equal(whole[name], forgetful[name]) for name in whole)


@pytest.mark.parametrize("group", [8, 16])
def test_places_of_the_batch_carry_it_whatever_the_number_of_workers(group: int) -> None:
    given = recipe(**{"train.batch_norm_group": group})

    def work(team: Team) -> Any:
        run = trained(given, 12, team=team)
        return run.carried, run.model.state_dict()

    (alone, weights), *_ = together(1, work)
    for carried, own in together(2, work):
        assert torch.equal(carried["drift"], alone["drift"])
        assert carried["seen"].tolist() == [12] * 32
        assert all(torch.allclose(own[name], weights[name], atol=1e-6) for name in weights)


def test_it_cannot_be_trained_in_replicates() -> None:
    study = replace(STUDY, train=replace(STUDY.train, replicates=2))
    with pytest.raises(ConfigError, match=r"Train.replicates = 2: Drifting carries"):
        make_plan(study)

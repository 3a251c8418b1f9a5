"""A study's own functions, which need not be of a module that others can import."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lth_ray import Data, Model, Prune, Study, Train, data, load_ticket, steps
from lth_ray.config import ConfigError
from lth_ray.lottery import carry_out, make_plan
from lth_ray.store import Store
from lth_ray.training import Team
from tests.training.teams import together


def test_a_team_trains_with_a_function_that_cannot_be_sent(tmp_path: Path) -> None:
    """Each of its processes has it already: Ray brings it to them by value."""

    def own(model: torch.nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, dict[str, Any]]:
        inputs, labels = batch
        return F.cross_entropy(model(inputs), labels), {}

    study = Study(
        "small",
        model=Model("lenet_20_10"),
        data=Data("digits", batch_size=60, validation=200),
        train=Train(steps(4), optimizer="sgd", lr=0.1, step=own, batch_norm_group=30),
        prune=Prune(scope="layer", fraction=0.3, rounds=1),
        rewind=[steps(0)],
        seeds=[0],
    )

    def work(team: Team) -> None:
        store = Store.open(str(tmp_path))
        for job in make_plan(study, None, Store.open(str(tmp_path / f"empty{team.rank}"))).jobs:
            for piece in job.pieces:
                carry_out(piece, store, data.load(piece.recipe.data), "cpu", None, team)

    together(2, work)
    assert not make_plan(study, None, Store.open(str(tmp_path))).jobs


def mlp(width: int) -> Callable[[int], nn.Module]:
    def net(num_classes: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, num_classes))

    return net


def scaled(factor: float) -> Callable[..., Any]:
    return lambda model, batch: (factor * F.cross_entropy(model(batch[0]), batch[1]), {})


def widths(lab: Any, **stated: str) -> Study:
    arms = {f"w{width}": {"model": Model(mlp(width), **stated)} for width in (8, 64)}
    study: Study = lab.study({"train.length": steps(10), "prune.rounds": 1}, model=Model("lenet_20_10"), arms=arms)
    return study


def test_networks_of_one_name_are_each_trained(lab: Any) -> None:
    ran = lab.run(widths(lab))
    shapes = {}
    for row in ran.tickets:
        state = load_ticket(row["key"], ran.store.uri).trained_state
        shapes[row["arm"], row["round"]] = tuple(state["1.weight"].shape)
    assert shapes == {("w8", 0): (8, 64), ("w8", 1): (8, 64), ("w64", 0): (64, 64), ("w64", 1): (64, 64)}
    assert ran.steps == 4 * 10
    assert lab.run(widths(lab)).steps == 0  # other closures, of the same meaning


def test_losses_of_one_name_are_each_trained_with(lab: Any) -> None:
    study = lab.study({"train.length": steps(5), "prune.rounds": 0}, sweep={"train.loss": [scaled(1), scaled(2)]})
    with pytest.raises(ConfigError, match=r"two lineages would be called 'loss=scaled.<locals>.<lambda>/k0/seed0'"):
        make_plan(study)
    arms = {name: {"train.loss": scaled(factor)} for name, factor in {"once": 1.0, "twice": 2.0}.items()}
    once, twice = (row["content"] for row in lab.run(lab.study({"train.length": steps(5)}, arms=arms)).tickets[::3])
    assert once != twice


def test_one_version_of_two_functions_is_refused(lab: Any) -> None:
    with pytest.raises(ConfigError, match=r"Model.name = mlp.<locals>.net: .* differ, both with version = '1'"):
        make_plan(widths(lab, version="1"))


def test_a_result_of_other_source_under_a_stated_version_is_told(lab: Any) -> None:
    def one(width: int) -> Study:
        study: Study = lab.study({"train.length": steps(5), "prune.rounds": 0}, model=Model(mlp(width), version="7"))
        return study

    lab.run(one(8))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert make_plan(one(8), None, lab.store()).remaining_steps == 0
    with pytest.warns(UserWarning, match=r"Model.name = mlp.<locals>.net has changed since k0/seed0 .* version = '7'"):
        assert make_plan(one(64), None, lab.store()).remaining_steps == 0

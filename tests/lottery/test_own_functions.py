"""A study's own functions, which need not be of a module that others can import."""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from lth_ray import Data, Model, Prune, Study, Train, data, steps
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
            for task in job.tasks:
                carry_out(task, store, data.load(task.recipe.data), "cpu", None, team)

    together(2, work)
    assert not make_plan(study, None, Store.open(str(tmp_path))).jobs

"""The other workers of a team wait for what the leader stores, and not within an exchange of gradients."""

from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from lth_ray import Data, Model, Prune, Study, Train, data, steps
from lth_ray.lottery import carry_out, make_plan
from lth_ray.store import Store
from lth_ray.training import Team
from tests.training.teams import together

EVENTS: list[str] = []


class Noted(Team):
    """A team that notes its exchanges."""

    def add(self, values: torch.Tensor) -> torch.Tensor:
        EVENTS.append("sum")
        return super().add(values)

    def meet(self) -> None:
        EVENTS.append("meet")
        super().meet()


def test_workers_meet_after_each_state_that_the_leader_stores(tmp_path: Path) -> None:
    study = Study(
        "small",
        model=Model("lenet_20_10"),
        data=Data("digits", batch_size=60, validation=200),
        train=Train(steps(4), optimizer="sgd", lr=0.1, batch_norm_group=30),
        prune=Prune(scope="layer", fraction=0.3, rounds=1),
        rewind=[steps(2)],
        seeds=[0],
    )

    def work(team: Team) -> list[str]:
        EVENTS.clear()
        store, saved = Store.open(str(tmp_path)), Store.save_state

        def noting(*arguments: Any, **named: Any) -> Any:
            EVENTS.append("stored")
            return saved(*arguments, **named)

        with patch.object(Store, "save_state", noting):
            for job in make_plan(study, None, Store.open(str(tmp_path / f"empty{team.rank}"))).jobs:
                for piece in job.pieces:
                    carry_out(piece, store, data.load(piece.recipe.data), "cpu", None, Noted(team.rank, team.size))
        return list(EVENTS)

    leader, other = together(2, work)
    stored = [place for place, event in enumerate(leader) if event == "stored" and "sum" in leader[:place]]
    assert len(stored) >= 3  # of the rewind point and of each training's end
    assert all(leader[place + 1] == "meet" for place in stored)
    assert [event for event in leader if event != "stored"] == other

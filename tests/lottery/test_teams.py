"""Every way of finding a mask, by two workers: each has the same mask and the same weights, which are those of one."""

from typing import Any

import pytest
import torch

from lth_ray.config import Dynamic, EarlyBird, Model, Prune, Study, epochs, steps
from lth_ray.lottery import carry_out, make_plan
from lth_ray.lottery.execution import execute
from lth_ray.store import content
from lth_ray.training import Team
from tests.lottery.conftest import Ran
from tests.lottery.test_channels import Small
from tests.training.teams import together

BIRD = EarlyBird(window=2, distance=0.2, latest=epochs(2))
AT_INIT: dict[str, Any] = {"remaining": [0.3], "at": steps(0)}
LOW = {"train.precision": "bfp8"}
RULES: dict[str, dict[str, Any]] = {
    "snip": {"prune": Prune("snip", **AT_INIT)},
    "synflow": {"prune": Prune("synflow", iterations=3, **AT_INIT)},
    "early_bird": {"prune": Prune("magnitude", fraction=0.4, rounds=1, at=BIRD)},
    "early_channels": {"prune": Prune("bn_scale", fraction=0.5, rounds=1, at=BIRD), "train.scale_l1": 1e-2},
    "channels": {"prune": Prune("l1", structure="channels", fraction=0.4, rounds=1)},  # by the smaller network
    "rigl": {"prune": Prune("random", **AT_INIT, dynamic=Dynamic("rigl", every=steps(5)))},
    "set": {"prune": Prune("random", **AT_INIT, dynamic=Dynamic("set", every=steps(5)))},
    "low": LOW,
    "low_average": {**LOW, "train.average_from": epochs(1)},
    "low_search": {"prune.search_precision": "bfp8"},
}


def study_of(lab: Any, rule: dict[str, Any], groups: int) -> Study:
    """A network with batch norms, in groups of a batch of 60."""
    recipe = {"train.length": epochs(2), "train.optimizer": "sgd", "train.lr": 0.05, "train.momentum": 0.9}
    recipe |= {"train.batch_norm_group": 60 // groups, "train.evaluate_every": epochs(1)}
    study: Study = lab.study({**recipe, "model": Model(Small), "prune.rounds": 1, **rule})
    return study


def by_two(lab: Any, study: Study, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return for each of two workers the contents of its mask and its weights at the end of every training."""
    plan, train = make_plan(study), execute._train
    dataset = plan.lineages[0].recipe.task.load()

    def work(team: Team) -> Any:
        seen = []

        def training(making: Any, *given: Any) -> Any:
            last = train(making, *given)
            mask, model = last.run.mask, last.run.model
            seen.append([making.key, last.step, content(mask) if mask else "", content(model.state_dict())])
            return last

        monkeypatch.setattr(execute, "_train", training)
        for job in plan.jobs:
            for piece in job.pieces:
                carry_out(piece, lab.store("team"), dataset, "cpu", team=team)
        return seen

    return together(2, work)


FAST = ("synflow", "early_bird", "rigl", "low_average", "low_search")
EACH = [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in RULES]


@pytest.mark.parametrize("name", EACH)
def test_two_workers_have_the_masks_and_weights_of_one(lab: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    study = study_of(lab, RULES[name], groups=2)
    alone = lab.run(study, "alone")
    assert not alone.failures
    first, second = by_two(lab, study, monkeypatch)
    assert first == second
    plan = make_plan(study, None, lab.store("team"))
    assert not plan.jobs
    if name != "low_average":
        assert Ran(plan, lab.store("team"), 0, {}).contents == alone.contents  # the sum of two groups has one order
        return
    ours, theirs = (
        store.load_state(plan.lineages[0].dense.trajectory, 38).model for store in (lab.store("team"), alone.store)
    )
    for value_name, value in theirs.items():  # batch norms' statistics are a mean over an epoch's groups
        close = (
            {"rtol": 1e-5, "atol": 1e-6}
            if "running" in value_name and "averages" in value_name
            else {"rtol": 0, "atol": 0}
        )
        torch.testing.assert_close(ours[value_name], value, **close)

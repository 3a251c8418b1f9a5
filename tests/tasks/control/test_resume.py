"""Games go on where they were: after a kill, from a rewind point, and whatever else is done beside them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("gymnasium", reason='games need gymnasium: pip install "lth_ray[rl]"')

from lth_ray.config import (
    Barrier,
    ConfigError,
    Dynamic,
    Environment,
    Model,
    Prune,
    RandomMask,
    Rewind,
    Study,
    Supermask,
    Train,
    set_fields,
    steps,
)
from lth_ray.lottery.execution.networks import build
from lth_ray.models import build as build_policy
from lth_ray.store import Store
from lth_ray.tasks import task_of
from lth_ray.tasks.control.rollouts import Rollouts
from lth_ray.training import Recipe, Seeds, Start, Team, evaluate, train_segment
from tests.carried_out import rows_of, whole_and_killed
from tests.tasks.control.scripted import Constant, raises
from tests.training.teams import together

STUDY = Study(
    "games",
    model=Model("policy_16"),
    data=Environment("CartPole-v1", envs=4, horizon=5, longest=30, games=3, validation=2),
    train=Train(steps(24), optimizer="rmsprop", lr=1e-2, evaluate_every=steps(8)),
    prune=Prune(fraction=0.5, rounds=1, include=["*.weight", "*.bias"]),
    rewind=[Rewind(steps(7), optimizer="restored")],
    seeds=[0],
    margin=5.0,
)
ACROBOT = {"data.name": "Acrobot-v1", "data.longest": 60}
LANDER = {"data.name": "LunarLander-v3", "data.longest": 60}


def recipe(**changes: Any) -> Recipe:
    study = set_fields(STUDY, changes)
    return Recipe(study.model, study.data, study.train, task_of(study.data).identify())


def trained(given: Recipe, last: int, start: Start | None = None, team: Team | None = None, **asked: Any) -> Any:
    model = build(given, seed=1)
    start = start or Start(0, {name: value.clone() for name, value in model.state_dict().items()})
    arguments = given, model, given.task.load(), None, Seeds(1, 2, 3), start, last
    return list(train_segment("key", *arguments, team=team or Team(), **asked))[-1]


@pytest.mark.parametrize("changes", [{}, ACROBOT, LANDER], ids=["CartPole", "Acrobot", "LunarLander"])
def test_a_killed_training_goes_on(changes: Any, tmp_path: Path) -> None:
    """0 -> T = 0 -> k -> T, bit for bit, with the games of each step."""
    whole, killed = whole_and_killed(set_fields(STUDY, changes), tmp_path, kills=(13, 31), every_steps=5)
    assert killed == whole


def test_the_games_that_are_under_way_matter() -> None:
    """So that the test before this one could fail; and curves go on, too."""
    given = recipe()
    half = trained(given, 12).run
    state = {name: value.clone() for name, value in half.model.state_dict().items()}
    beside = {**half.optimizer.state_dict(), "carried": half.carried}
    whole = trained(given, 24)
    resumed = trained(given, 24, Start(12, state, beside))
    forgetful = trained(given, 24, Start(12, state, half.optimizer.state_dict()))
    weights = whole.run.model.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in resumed.run.model.state_dict().items())
    assert not all(torch.equal(weights[name], value) for name, value in forgetful.run.model.state_dict().items())
    for told in ("train_return", "train_games", "test_return"):
        assert resumed.journal[told][-1] == whole.journal[told][-1]


def test_evaluations_change_nothing_in_training() -> None:
    often = trained(recipe(**{"train.evaluate_every": steps(1), "data.games": 7, "data.evaluation": "sampled"}), 24)
    never = trained(recipe(), 24, measured=False)
    weights = never.run.model.state_dict()
    assert len(often.journal["test_return"]) == 24
    assert all(torch.equal(weights[name], value) for name, value in often.run.model.state_dict().items())


def test_the_number_of_processes_changes_no_game() -> None:
    given = recipe(**{"train.batch_norm_group": 2})

    def work(team: Team) -> Any:
        last = trained(given, 20, team=team)
        return last.run.carried, last.run.model.state_dict(), last.journal

    (alone, weights, journal), *_ = together(1, work)
    for carried, own, told in together(2, work):
        assert carried["length"].tolist() == alone["length"].tolist()
        for name in ("seed", "actions", "mark", "returns", "ends"):
            assert torch.equal(carried[name], alone[name]), name
        assert all(torch.allclose(own[name], weights[name], atol=1e-6) for name in weights)
        assert told["train_return"] == journal["train_return"]
        assert told["test_return"] == journal["test_return"]


def test_a_worker_without_a_game_to_evaluate_measures_with_the_others() -> None:
    given = recipe(**{"data.games": 2})

    def measured(team: Team) -> list[float]:
        task = given.task
        loaded = task.load()
        games = task.examples(loaded, task.splits(loaded)["test"], (team.rank, team.size))
        found = evaluate(build(given, seed=0), games, task, given.train, team)
        return [found.loss, found.value, found.n]

    assert together(3, measured) == [pytest.approx(measured(Team()), rel=1e-6)] * 3


@pytest.mark.slow
def test_games_that_other_processes_play_are_the_same() -> None:
    """Seven games in three processes: where they are, what they come to, and what is told of one that fails."""
    config = replace(STUDY.data, envs=7, longest=12)
    model = build_policy("policy_8", 3, (4,), seed=0)
    here, apart = Rollouts(config, 1, 2), Rollouts(config, 1, 2, processes=3)
    for step in range(5):
        for ours, theirs in zip(here.batch(step, model), apart.batch(step, model), strict=True):
            assert torch.equal(ours, theirs)
    kept = dict(apart.carried)
    assert all(torch.equal(kept[name], value) for name, value in here.carried.items())
    resumed = Rollouts(config, 1, 2, processes=2)
    resumed.carry_on(kept)
    for ours, theirs in zip(here.batch(5, model), resumed.batch(5, model), strict=True):
        assert torch.equal(ours, theirs)
    resumed.games.processes[0].kill()
    with pytest.raises(RuntimeError, match="a process that plays games is gone"):
        resumed.batch(6, model)
    for stream in (apart, resumed):
        stream.close()
    failing = Rollouts(Environment(raises, envs=2, horizon=40, longest=9, games=2), 1, 2, processes=1)
    with pytest.raises(ConfigError, match=r"raises: step 3 of the game with seed .* the hinge is stuck"):
        failing.batch(0, Constant())


def test_lineages_with_controls_and_barriers(tmp_path: Path) -> None:
    branches = [RandomMask(rounds=[1]), Barrier(children=2, points=3, rounds=[1])]
    study = replace(STUDY, branches=branches, rewind=[steps(0), steps(6)])
    tickets, found = rows_of(study, Store.open(str(tmp_path)))
    assert [row["round"] for row in tickets] == [0, 1] * 2
    assert all(1 <= row["test_return"] <= 30 and row["steps_per_epoch"] is None for row in tickets)
    assert tickets[1]["remaining_weights"] == pytest.approx(0.5, abs=0.01)
    lines = [row for row in found if row["branch"] == "barrier"]
    assert len(lines) == 2
    for row in lines:
        assert row["lmc_error_barrier"] >= 0  # of returns
        assert row["lmc_train_loss_barrier"] >= 0  # of the loss on states that the two ends came to
        assert row["lmc_train_error_barrier"] is None


@pytest.mark.parametrize(
    "changes",
    [
        {"prune": Prune("snip", fraction=0.5, rounds=1, at=steps(0))},
        {"prune": Prune("random", scope="layer", fraction=0.5, rounds=1, at=steps(0), dynamic=Dynamic("rigl"))},
        {"branches": [Supermask("edge_popup", rounds=[1])]},
    ],
    ids=["snip", "rigl", "supermask"],
)
def test_other_ways_to_a_mask(changes: Any, tmp_path: Path) -> None:
    study = set_fields(replace(STUDY, rewind=[steps(0)]), {"train.length": steps(8), **changes})
    tickets, found = rows_of(study, Store.open(str(tmp_path)))
    assert tickets[1]["remaining_weights"] == pytest.approx(0.5, abs=0.01)
    assert all(1 <= row["test_return"] <= 30 for row in [*tickets, *found])

"""The cost that a plan states for a study."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from lth_ray import Launch, Study, steps
from lth_ray.lottery import make_plan
from lth_ray.running import estimate as module
from lth_ray.running import timing
from lth_ray.running.estimate import RAY_S, TEAM_S, estimate
from lth_ray.running.planning import readable_bytes, readable_time
from lth_ray.running.timing import Timing
from lth_ray.store import Store
from tests.running.conftest import declared, train_here

STUDY: Study = replace(declared(), branches=[], rewind=[steps(0)])


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every step takes a second, half of one from 50 % of the weights on; the rounds that were timed."""
    rounds: list[int] = []

    def timed(recipe: object, data_root: object, prune: object, number: int) -> Timing:
        rounds.append(number)
        return Timing(1.0 if number == 0 else 0.5, 0.0, 1000)

    monkeypatch.setattr(module, "timed", timed)
    return rounds


def test_sparse_rounds_are_priced_as_sparse(asked: list[int]) -> None:
    study = replace(STUDY, prune=replace(STUDY.prune, fraction=0.5, rounds=2))
    cost = estimate(make_plan(study), None, Launch(), 1)
    assert set(asked) == {0, 1, 2}
    assert cost.core_hours == pytest.approx((100 + 50 + 50) / 3600)
    assert cost.seconds == pytest.approx(200 + RAY_S)


def test_rounds_that_are_alike_are_timed_once(asked: list[int]) -> None:
    study = replace(STUDY, prune=replace(STUDY.prune, fraction=0.2, rounds=9))
    estimate(make_plan(study), None, Launch(), 1)
    assert set(asked) == {0, 3, 6, 9}


def test_an_eager_network_is_as_slow_however_sparse(asked: list[int]) -> None:
    study = replace(STUDY, train=replace(STUDY.train, backend="eager"))
    cost = estimate(make_plan(study), None, Launch(), 1)
    assert set(asked) == {0}
    assert cost.core_hours == pytest.approx(300 / 3600)


def test_workers_share_steps_and_take_cores_and_time_to_start(asked: list[int]) -> None:
    study = replace(STUDY, seeds=[0, 1, 2, 3], prune=replace(STUDY.prune, rounds=0))
    alone = estimate(make_plan(study), None, Launch(), 4)
    team = estimate(make_plan(study), None, Launch(workers=2), 4)
    assert (alone.slots, team.slots) == (4, 2)
    assert alone.seconds == pytest.approx(100 + RAY_S)
    assert team.seconds == pytest.approx(100 + RAY_S + 4 / 2 * TEAM_S)
    assert team.core_hours == alone.core_hours


def test_what_the_storage_knows_is_not_timed(asked: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    store = Store.open(str(tmp_path))
    train_here(STUDY, store)
    more = make_plan(replace(STUDY, seeds=[0, 1, 2]), None, store)
    cost = estimate(more, None, Launch(), 1, store)
    spent = [store.segment(key)["seconds"] for key in make_plan(STUDY).keys]
    assert cost.recorded == 1.0
    assert cost.core_hours * 3600 == pytest.approx(2 * sum(spent), rel=0.5)
    assert cost.seconds < 0.5 * estimate(more, None, Launch(), 1).seconds  # whose steps take a second


def test_each_recipe_is_timed_once_however_many_lineages(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(timing, "_timings", {})
    monkeypatch.setattr(timing, "_timed", lambda recipe, *_: calls.append(timing.pace_of(recipe)) or Timing(1, 0, 1))
    study = replace(STUDY, seeds=list(range(30)), sweep={"train.lr": [0.1, 0.2]})
    estimate(make_plan(study), None, Launch(), 1)
    assert len(calls) == 3  # dense, and pruned once and twice


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "under 1 s"), (200, "3 min 20 s"), (19_000, "5 h 16 min"), (5934 * 86_400, "5,900 days"), (4e5, "4.6 days")],
)
def test_times_in_a_few_figures(seconds: float, text: str) -> None:
    assert readable_time(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 KB"),
        (640e3, "640 KB"),
        (1.234e6, "1.2 MB"),
        (2.6e11, "260 GB"),
        (9.997e11, "1 TB"),
        (4.44e16, "44,000 TB"),
    ],
)
def test_sizes_in_two_figures(count: float, text: str) -> None:
    assert readable_bytes(count) == text

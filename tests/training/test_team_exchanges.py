"""Workers of a team tell one another what they see and do, and notice a peer that is lost."""

import time
from typing import Any

import pytest
import torch

from lth_ray.config import ConfigError
from lth_ray.training import Clock, Team, TeamBroken
from tests.training.teams import together
from tests.training.test_team import Make, grouped


def test_a_team_agrees_on_when_a_checkpoint_is_due(setting: Make) -> None:
    """One worker's notice, that no other one has seen, pauses all of them at the same step."""
    made = grouped(setting)

    def work(team: Team) -> list[tuple[int, bool]]:
        clock = Clock(notices=lambda: int(team.rank == 1))
        clock.noticed = 0
        return [(pause.step, pause.due) for pause in made.pauses(made.begin(), 12, team=team, clock=clock)]

    first, second = together(2, work)
    assert first == second
    assert sum(due for _, due in first) == 1


def test_what_the_leader_does_is_told_to_all_and_so_is_its_error() -> None:
    def work(team: Team) -> tuple[int, str]:
        def fails() -> None:
            raise ConfigError("the storage is gone")

        answer = team.by_leader(lambda: 40 + team.rank)
        try:
            team.by_leader(fails)
        except ConfigError as error:
            return answer, str(error)
        return answer, ""

    assert together(3, work) == [(40, "the storage is gone")] * 3


def test_a_clock_counts_steps_seconds_and_notices() -> None:
    notices = 0
    clock = Clock(every_s=1000, every_steps=3, notices=lambda: notices)
    clock.begin(10)
    assert [clock.due(step) for step in (11, 12, 13)] == [False, False, True]
    clock.begin(13)
    notices = 1
    assert [clock.due(step) for step in (14, 15)] == [True, False]
    soon = Clock(every_s=0.01)
    soon.begin(0)
    time.sleep(0.02)
    assert soon.due(1)


def test_a_team_takes_checkpoints_every_so_many_steps(setting: Make) -> None:
    made = grouped(setting)

    def work(team: Team) -> list[int]:
        clock = Clock(every_steps=5)
        return [pause.step for pause in made.pauses(made.begin(), 12, team=team, clock=clock) if pause.due]

    assert together(2, work) == [[5, 10], [5, 10]]


def test_a_peer_that_is_lost_within_a_batch_norm_exchange_breaks_the_team(setting: Make) -> None:
    made = setting(batch_size=48, options={"dropout": 0.0}, sync_batch_norm=True)

    def work(team: Team) -> str:
        if team.rank == 1:
            return "left"
        try:
            made.trained(made.begin(), 8, team=team)
        except TeamBroken:
            return "broken"
        return "trained"

    assert together(2, work, last_words=False) == ["broken", "left"]


def test_the_leader_may_work_alone_for_longer_than_an_exchange_may_take() -> None:
    def work(team: Team) -> list[Any]:
        found: list[Any] = []
        for patience_s in (60, 1):
            patient = team.patient(patience_s)
            assert patient == team
            try:
                found.append(patient.by_leader(lambda: time.sleep(3) or "stored"))  # type: ignore[func-returns-value]
            except TeamBroken:
                found.append("broken")
        return found

    first, second = together(2, work, last_words=False)
    assert first[0] == second[0] == "stored"
    assert second[1] == "broken"


def test_a_gpu_without_memory_is_no_lost_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.distributed, "all_reduce", raises)
    with pytest.raises(torch.OutOfMemoryError):
        Team(0, 2).add(torch.zeros(1))


def test_a_leader_that_dies_is_noticed_at_once_by_those_that_wait_for_what_it_stores() -> None:
    def work(team: Team) -> str:
        patient = team.patient(3600)
        patient.meet()
        if team.leads:
            return "left"
        began = time.monotonic()
        try:
            patient.meet()
        except TeamBroken:
            return "broken" if time.monotonic() - began < 100 else "broken late"
        return "met"

    assert together(2, work, last_words=False) == ["left", "broken"]

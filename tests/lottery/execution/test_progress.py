"""The part of a piece's time that counts as training."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from lth_ray import data
from lth_ray.lottery import carry_out, make_plan
from lth_ray.lottery.execution.progress import Progress
from lth_ray.training import Start
from tests.lottery.conftest import Lab


def test_what_is_done_at_a_pause_is_no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)

    def pauses() -> Iterator[Any]:
        nonlocal now
        for step in range(3):
            now += 2.0
            yield step

    progress = Progress(Start(0, {}), [], 0.0)
    for _ in progress.timed(pauses()):
        now += 5.0
    assert progress.training_s == 6.0
    assert progress.spent_s == 21.0


def test_training_is_a_part_of_what_a_task_takes(lab: Lab) -> None:
    store = lab.store()
    piece = make_plan(lab.study(), None, store).jobs[0].pieces[0]
    dataset = data.load(piece.recipe.data)
    outcome = carry_out(piece, store, dataset, "cpu")
    assert 0 < outcome.training_s < outcome.seconds
    assert carry_out(piece, store, dataset, "cpu").training_s == 0

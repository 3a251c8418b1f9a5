"""The ledger adds up, also with two runs and after a checkpoint."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lth_ray.config import EarlyBird
from lth_ray.lottery import Plan, make_plan
from lth_ray.running.ledger import PARTS, enter, in_words, opened
from lth_ray.store import Store
from tests.running.conftest import declared, train_here


def done(plan: Plan, key: str, trained: int, diverged_at: int | None = None) -> dict[str, Any]:
    return {"key": key, "trained_steps": trained, "diverged_at": diverged_at}


def adds_up(counts: dict[str, Any]) -> bool:
    return sum(counts[part] for part in PARTS) == counts["unique_steps"] + counts["restored_steps"]


def test_every_step_is_somebodys(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    train_here(replace(declared(), rewind=declared().rewind[:1], branches=[]), store)
    plan = make_plan(declared(), None, store)
    left = [piece for job in plan.jobs for piece in job.pieces if piece.measured]
    counts = opened(plan)
    assert counts["reused_steps"] == 300
    assert counts["undone_steps"] == counts["unique_steps"] - 300 == sum(piece.num_steps for piece in left)
    assert adds_up(counts)
    first, second, third = left[:3]
    enter(counts, plan, done(plan, first.key, first.num_steps - 10))  # from a checkpoint at its tenth step
    enter(counts, plan, done(plan, second.key, 0))  # another run was quicker
    enter(counts, plan, done(plan, third.key, 5, third.segment.first + 5))  # type: ignore[union-attr]
    assert counts["resumed_steps"] == 10
    assert counts["others_steps"] == second.num_steps
    assert counts["trained_steps"] == first.num_steps - 10 + 5
    assert adds_up(counts)
    enter(counts, plan, done(plan, f"{first.key}@state", 40))  # a state that was lost is made again
    assert counts["restored_steps"] == 40
    assert adds_up(counts)


def test_steps_that_a_draw_spares_are_nobodys(tmp_path: Path) -> None:
    """Of 300 planned until the draw 95 are taken, and what another training had taken up to step 57 is not trained."""
    at = EarlyBird(window=2)
    study = replace(declared(), rewind=declared().rewind[:1], branches=[], seeds=[0])
    plan = make_plan(replace(study, prune=replace(study.prune, rounds=1, at=at)), None)
    search, ticket = (piece for job in plan.jobs for piece in job.pieces)
    counts = opened(plan)
    enter(counts, plan, done(plan, search.key, 38) | {"whole_steps": 95, "taken_up": 57})
    assert (counts["reused_steps"], counts["spared_steps"]) == (57, search.num_steps - 95)
    assert adds_up(counts)
    enter(counts, plan, done(plan, ticket.key, 205) | {"whole_steps": 205, "taken_up": 0})
    assert counts["undone_steps"] == 0
    assert adds_up(counts)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "0 were in the store"),
        ({"reused_steps": 1200, "others_steps": 5}, "1,200 were in the store, 5 by another run"),
        ({"resumed_steps": 7, "undone_steps": 3}, "0 were in the store, 7 in checkpoints, 3 not done"),
    ],
)
def test_its_words(given: dict[str, int], words: str) -> None:
    assert in_words({**dict.fromkeys(PARTS, 0), **given}) == words

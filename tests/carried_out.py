"""Studies carried out in this process, piece after piece: as a whole, or killed on their way and gone on with."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from lth_ray import probes
from lth_ray.config import Study
from lth_ray.lottery import Plan, branch_rows, carry_out, make_plan, ticket_rows
from lth_ray.store import Store
from lth_ray.training import Clock

Rows = list[dict[str, Any]]


class Interruption(Exception):
    """Stands for a kill."""


def carried_out(study: Study, store: Store, root: Path | None = None, every_steps: int | None = None) -> Plan:
    """Return the plan of a study, all of which is in the store by now.

    every_steps: of checkpoints; by default none is taken but where pieces end.
    """
    plan = make_plan(study, None if root is None else str(root), store)
    for job in plan.jobs:
        for piece in job.pieces:
            carry_out(piece, store, piece.recipe.task.load(root), "cpu", Clock(every_steps=every_steps))
    return plan


def rows_of(study: Study, store: Store, root: Path | None = None, every_steps: int | None = None) -> tuple[Rows, Rows]:
    """Return the rows of a study's tickets and of its branches, once it is `carried_out`."""
    plan = carried_out(study, store, root, every_steps)
    return ticket_rows(plan, store), branch_rows(plan, store)


def whole_and_killed(
    study: Study, place: Path, kills: Sequence[int], every_steps: int, root: Path | None = None
) -> tuple[list[str], list[str]]:
    """Return the contents of a study without a break, and of one that is killed as it takes these steps, counted from
    its first beginning, and each time goes on from its last checkpoint.
    """

    def contents(store: Store, every_steps: int | None = None) -> list[str]:
        return [row["content"] for rows in rows_of(study, store, root, every_steps) for row in rows]

    whole, killed = Store.open(str(place / "whole")), Store.open(str(place / "killed"))
    with pytest.MonkeyPatch.context() as patch:
        taken = _counted(patch, ())
        expected = contents(whole)
        steps = taken()
    with pytest.MonkeyPatch.context() as patch:
        taken = _counted(patch, kills)
        for _ in kills:
            with pytest.raises(Interruption):
                contents(killed, every_steps)
        found = contents(killed, every_steps)
        # steps behind a checkpoint are taken twice, and none before it
        assert steps < taken() <= steps + every_steps * len(kills)
    return expected, found


def _counted(patch: pytest.MonkeyPatch, kills: Sequence[int]) -> Callable[[], int]:
    """Count the steps that are taken from now on, and kill as these are; return what gives their number."""
    taken, written = 0, probes.step

    def step(key: str, number: int, counts: bool = True) -> Any:
        nonlocal taken
        written(key, number, counts)
        taken += 1
        if taken in kills:
            raise Interruption

    patch.setattr(probes, "step", step)
    return lambda: taken

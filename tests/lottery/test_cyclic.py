"""A fixed mask trained through the schedule several times, beside the iterative pruning that found it."""

from typing import Any

import pytest

from lth_ray.config import Cyclic, RandomMask, set_fields, steps

T = 40
FALLING = {"train.schedule": "linear"}


def test_it_takes_as_many_steps_as_iterative_pruning_by_then(lab: Any) -> None:
    branches = [Cyclic(), Cyclic(1, rounds=[2]), RandomMask(rounds=[2], branches=[Cyclic()])]
    ran = lab.run(lab.study(FALLING, branches=branches))
    assert not ran.failures
    found = {
        (row["branch"], row["round"], row["cycles"]): row for row in ran.branches if row["branch"] != "random_mask"
    }
    assert set(found) == {("cyclic", 1, 2), ("cyclic", 2, 3), ("cyclic", 2, 1), ("random_mask-0/cyclic", 2, 3)}
    for (_, number, cycles), row in found.items():
        assert row["train_steps"] == T * cycles
        assert row["remaining_weights"] == ran.tickets[number]["remaining_weights"]
        journal = ran.store.segment(row["key"])["journal"]
        rates = dict(zip(journal["step"], journal["lr"], strict=True))
        for step, rate in rates.items():
            assert rate == pytest.approx(1.2e-3 * (1 - (step - 1) % T / T))
    trained = sum(row["train_steps"] for row in ran.tickets)  # dense, rounds 1 and 2
    assert found["cyclic", 2, 3]["train_steps"] == trained
    assert found["cyclic", 2, 1]["content"] == ran.tickets[2]["content"]  # one cycle is the ticket's own training
    assert found["cyclic", 2, 3]["content"] != ran.tickets[2]["content"]
    assert lab.run(lab.study(FALLING, branches=branches)).steps == 0


def test_it_goes_on_from_its_middle(lab: Any) -> None:
    study = lab.study({**FALLING, "prune.rounds": 1}, branches=[Cyclic(3)])
    whole = lab.run(study, "whole")
    lab.interrupted(study, 2 * T + 55, every_s=0)
    assert lab.run(study, every_s=0).contents == whole.contents


def test_masks_found_before_training_are_trained_as_long_by_an_arm(lab: Any) -> None:
    """Pruning at initialisation at the cost of two rounds of iterative pruning, its rounds' masks one by one."""
    arm = {"prune.at": steps(0), "prune.one_shot": True, "train.length": steps(3 * T), "train.cycles": 3}
    ran = lab.run(set_fields(lab.study(FALLING), {"arms": {"iterative": {}, "cyclic": arm}}))
    rows = {(row["arm"], row["round"]): row["train_steps"] for row in ran.tickets}
    assert rows["cyclic", 2] == 3 * T == sum(rows["iterative", number] for number in range(3))

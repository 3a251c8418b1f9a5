"""The published effect on real MNIST, at a sixth of the published length: some 15 minutes on two cores."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lth_ray import Launch, RandomReinit, run, steps
from lth_ray.config import set_fields

STUDIES = Path(__file__).resolve().parents[2] / "studies"
ROUNDS = 7  # to 21.1 % of the weights


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_tickets_stop_before_dense_and_reinits_after_tickets(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frankle & Carbin 2019, figures 3 and 4, at P = 21 %: 5 seeds, means of the early-stop step."""
    monkeypatch.syspath_prepend(str(STUDIES))
    import lenet_mnist

    shortened = set_fields(lenet_mnist.study, {"train.length": steps(8000), "prune.rounds": ROUNDS})
    arms = {"iterative": {"branches": [RandomReinit(rounds=[ROUNDS])]}}
    study = replace(shortened, arms=arms, name="lenet-mnist-8000")
    results = run(study, Launch(str(tmp_path), data_root=str(shared_data)))
    tickets, branches = results.tickets(), results.branches()
    columns = ["early_stop_step", "test_accuracy", "test_accuracy_at_early_stop"]
    dense = tickets[tickets["round"] == 0][columns]
    ticket = tickets[tickets["round"] == ROUNDS][columns]
    for name, rows in (("dense", dense), ("ticket", ticket), ("random reinit", branches[columns])):
        print(name, rows.describe().loc[["count", "mean", "std", "min", "max"]], sep="\n", file=sys.stderr)
    assert len(dense) == len(ticket) == len(branches) == 5
    assert ticket["early_stop_step"].mean() < dense["early_stop_step"].mean()
    assert branches["early_stop_step"].mean() > ticket["early_stop_step"].mean()

"""Values at the edge of what may be declared: what the plan takes is carried out to its last row."""

from dataclasses import replace
from typing import Any

import pytest

from lth_ray.config import (
    Barrier,
    ConfigError,
    Connectivity,
    Curvature,
    Launch,
    MaskOverlap,
    Model,
    Perturb,
    Perturbation,
    Prune,
    RandomReinit,
    Rewind,
    Stability,
    Supermask,
    Train,
    Weights,
    epochs,
    steps,
)
from lth_ray.lottery import make_plan
from lth_ray.running.estimate import estimate
from tests.lottery.conftest import BASE

TINY = replace(BASE, train=Train(steps(4), lr=0.05, evaluate_every=steps(2)), keep="tickets")
UNEVEN = {"fc1.weight": 0.9, "fc2.weight": 1e-9, "output.weight": 0.999999}
CARRIED_OUT: dict[str, dict[str, Any]] = {
    "a share that prunes nothing": {"prune": Prune(fraction=1e-320, rounds=1)},
    "shares that empty a layer": {"prune": Prune(scope="layer", fraction=UNEVEN, rounds=2)},
    "everything but biases is left": {"prune": Prune(fraction=0.5, rounds=1, include=["*.bias"], exclude=["*.weight"])},
    "no round": {"prune": Prune(fraction=0.5, rounds=0)},
    "rewound to the end": {"rewind": [Rewind(steps(4), method=name) for name in ("weights", "fine_tune", "continue")]},
    "rewound by less than a step": {"rewind": [epochs(1e-9)]},
    "noise that overflows": {"rewind": [Rewind(steps(2), perturbation=Perturbation("constant", noise=1e308))]},
    "a branch's noise that overflows": {"branches": [Perturb("init", noise=1e308, trained=False, rounds=[2])]},
    "branches on branches": {"branches": [RandomReinit(branches=[RandomReinit(branches=[RandomReinit()])])]},
    "copies that part at the end": {"branches": [Barrier(points=3, spawn=steps(4), rounds=[0])]},
    "copies that are one": {"branches": [Stability(spawn=steps(4), rounds=[1])]},
    "one seed to compare, one bin": {"branches": [MaskOverlap(), Weights(bins=1)]},
    "one seed to connect, more eigenvalues than weights": {
        "model": Model("lenet_2_2"),
        "branches": [Connectivity("seeds", points=3), Curvature(200, vectors=0, batches=1, iterations=200, rounds=[2])],
    },
    "a score's rate that overflows": {"branches": [Supermask("bernoulli", train={"lr": 1e300})]},
}  # fmt: skip


@pytest.mark.parametrize("name", CARRIED_OUT)
def test_what_the_plan_takes_is_carried_out(lab: Any, name: str) -> None:
    study = replace(TINY, **CARRIED_OUT[name])
    ran = lab.run(study)
    diverged = any(ran.store.segment(row["key"])["diverged_at"] is not None for row in ran.tickets)
    lost = diverged or "overflows" in name
    assert lost or not ran.failures
    assert lost or len(ran.tickets) == len(ran.plan.lineages) * (study.prune.rounds + 1)
    assert lost or len(ran.branches) == len(ran.plan.branches)
    assert not make_plan(study, None, ran.store).jobs  # whatever came of it, it is an end


def test_a_tiny_share_is_estimated() -> None:
    plan = make_plan(replace(TINY, prune=Prune(fraction=1e-320, rounds=1)))
    assert 0 < estimate(plan, None, Launch(), 1).seconds < 600


def test_pairs_are_bounded() -> None:
    with pytest.raises(ConfigError, match=r"Barrier.children = 101: give a whole number of at most 100"):
        Barrier(101)

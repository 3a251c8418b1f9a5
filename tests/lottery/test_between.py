"""Lines between the networks that a study trains anyway, and the curvature where they end: nothing is trained."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call, hessian

from lth_ray import analysis, data, models
from lth_ray.config import (
    Barrier,
    ConfigError,
    Connectivity,
    Curvature,
    EarlyBird,
    MaskOverlap,
    Prune,
    RandomReinit,
    Rewind,
    Stability,
    Transfer,
    steps,
)
from lth_ray.lottery import load_ticket, make_plan

State = dict[str, torch.Tensor]
WEIGHTS = ("fc1.weight", "fc2.weight", "output.weight")


def ended(ran: Any, number: int, lineage: int = 0) -> State:
    """The state that a round ended with."""
    state: State = load_ticket(ran.key(number, lineage), ran.store.uri).trained_state
    return state


def flat(state: State, names: Iterable[str] = WEIGHTS) -> Any:
    return np.concatenate([state[name].double().numpy().ravel() for name in names])


def errors(ran: Any, first: State, second: State, points: int) -> list[float]:
    dataset = data.load(ran.plan.lineages[0].recipe.data)
    model = models.build("lenet_20_10", 10, input_shape=(1, 8, 8))
    inputs, labels = next(iter(data.evaluation_batches(dataset.test, dataset.mean, dataset.std)))
    found: list[float] = analysis.linear_path(model, first, second, inputs, labels, points=points)["error"].tolist()
    return found


def distance_to_line(point: Any, first: Any, second: Any) -> tuple[float, float]:
    along = first - second
    alpha = float(np.clip((point - second) @ along / (along @ along), 0, 1))
    return float(np.linalg.norm(point - second - alpha * along)), alpha


def test_successive_rounds_by_hand(lab: Any) -> None:
    plain = lab.run(lab.study())
    ran = lab.run(lab.study(branches=[Connectivity(points=5)]))
    assert ran.steps == ran.plan.branch_steps == 0
    assert ran.plan.unique_steps == plain.plan.unique_steps
    assert [(row["round"], row["other_round"]) for row in ran.branches] == [(1, 0), (2, 1)]
    for row in ran.branches:
        number = row["round"]
        first, second = ended(ran, number), ended(ran, number - 1)
        by_hand = errors(ran, first, second, 5)
        assert lab.store().table(row["key"])["columns"]["test_error"] == pytest.approx(by_hand)
        assert row["lmc_error_barrier"] == pytest.approx(max(by_hand) - (by_hand[0] + by_hand[-1]) / 2)
        assert row["remaining_weights"] == pytest.approx(0.8**number, abs=0.01)
        ticket = load_ticket(ran.key(number), ran.store.uri)
        kept = np.concatenate([ticket.mask[name].numpy().ravel() for name in WEIGHTS])
        a, b, start = flat(first), flat(second), flat(ticket.rewind_state) * kept
        assert row["l2_distance"] == pytest.approx(np.linalg.norm(a - b), rel=1e-6)
        found = [row["start_to_line"], row["start_nearest"], row["pruned_to_line"], row["pruned_nearest"]]
        expected = [*distance_to_line(start, a, b), *distance_to_line(b * kept, a, b)]
        assert found == pytest.approx(expected, rel=1e-5)
        assert 0 < row["pruned_to_line"] < row["l2_distance"]
    assert lab.run(lab.study(branches=[Connectivity(points=5)])).steps == 0


def test_rewind_points_are_compared_once_a_pair_and_seeds_aligned(lab: Any) -> None:
    points = [steps(k) for k in (0, 10, 20)]
    branches = [
        Connectivity("rewind_points", points=3, rounds=[2]),
        Connectivity("rewind_points", points=3, rounds=[1], rewind=[steps(10)]),
        Connectivity("dense", points=3, rounds=[2]),
    ]
    ran = lab.run(lab.study(rewind=points, branches=branches))
    assert ran.plan.branch_steps == 0
    found = [(row["to"], row["rewind_step"], row["round"], row.get("other_rewind_step")) for row in ran.branches]
    pairs = [("rewind_points", 0, 2, 10), ("rewind_points", 0, 2, 20), ("rewind_points", 10, 2, 20)]
    with_the_second = [("rewind_points", 0, 1, 10), ("rewind_points", 20, 1, 10)]
    assert sorted(found, key=str) == sorted(
        [*pairs, *with_the_second, *(("dense", k, 2, None) for k in (0, 10, 20))], key=str
    )
    (row,) = (row for row in ran.branches if row.get("other_rewind_step") == 20 and row["rewind_step"] == 10)
    apart = np.linalg.norm(flat(ended(ran, 2, 1)) - flat(ended(ran, 2, 2)))
    assert row["l2_distance"] == pytest.approx(apart, rel=1e-6)


def test_seeds_are_compared_as_they_are_and_in_one_order(lab: Any) -> None:
    branches = [Connectivity("seeds", points=3, align=by, rounds=[0, 2]) for by in (None, "weights", "activations")]
    ran = lab.run(lab.study(seeds=[0, 1, 2], branches=branches))
    assert ran.plan.branch_steps == 0
    assert len(ran.branches) == 3 * 2 * 3
    chosen = [row for row in ran.branches if (row["seed"], row["other_seed"], row["round"]) == (0, 1, 0)]
    rows = {row.get("align"): row for row in chosen}
    assert set(rows) == {None, "weights", "activations"}
    for by in ("weights", "activations"):
        assert rows[by]["l2_distance"] == rows[None]["l2_distance"]
        assert rows[by]["l2_distance_aligned"] < rows[by]["l2_distance"]
        assert rows[by]["lmc_loss_barrier"] < rows[None]["lmc_loss_barrier"]
    assert rows["weights"]["l2_distance_aligned"] < rows["activations"]["l2_distance_aligned"]


def test_copies_of_a_barrier_are_aligned_by_activations(lab: Any) -> None:
    branches = [Barrier(points=3, initialisations="own", align=by, rounds=[0]) for by in (False, "activations")]
    apart, aligned = lab.run(lab.study(branches=branches)).branches
    assert aligned["l2_distance_aligned"] < apart["l2_distance"]
    assert aligned["lmc_loss_barrier"] < apart["lmc_loss_barrier"]


def test_states_that_were_not_kept_are_planned_again(lab: Any) -> None:
    lab.run(lab.study(keep="rewind"))
    study = lab.study(keep="rewind", branches=[Connectivity(points=3)])
    ran = lab.run(study)
    assert ran.steps == ran.plan.remaining_steps == 2 * 40  # rounds 1 and 2; the dense network's end is kept
    whole = lab.whole(lab.study(branches=[Connectivity(points=3)]))
    assert ran.contents == whole.contents
    assert ran.store.find_state(ran.plan.lineages[0].rounds[1].segment.trajectory, 40) is None
    assert lab.run(study).steps == 0


def test_a_result_is_compared_with_its_ticket(lab: Any) -> None:
    hung = RandomReinit(rounds=[1], branches=[Connectivity("ticket", points=3), Connectivity("dense", points=3)])
    ran = lab.run(lab.study(branches=[hung]))
    paths = [row["branch"] for row in ran.branches]
    assert paths == ["random_reinit", "random_reinit-0/connectivity", "random_reinit-0/connectivity"]
    reinit = load_ticket(ran.branches[0]["key"], ran.store.uri).trained_state
    for row, number in zip(ran.branches[1:], (1, 0), strict=True):
        assert row["l2_distance"] == pytest.approx(np.linalg.norm(flat(reinit) - flat(ended(ran, number))), rel=1e-6)


def test_curvature_is_that_of_the_dense_hessian(lab: Any) -> None:
    """Of some 150 kept weights, on the batches that criteria by gradients look at."""
    study = lab.study({"prune.fraction": 0.9, "prune.rounds": 1}, branches=[Curvature(2, batches=2, tolerance=1e-5)])
    ran = lab.run(study)
    assert ran.steps == 3 * 40 - 40
    assert [row["round"] for row in ran.branches] == [0, 1]
    row = ran.branches[1]
    ticket, recipe = load_ticket(ran.key(1), ran.store.uri), ran.plan.lineages[0].recipe
    dataset, order = recipe.task.load(), ran.plan.lineages[0].seeds.order
    batches = [recipe.task.evidence(dataset, order, number) for number in range(2)]
    inputs, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    model = models.build("lenet_20_10", 10, input_shape=(1, 8, 8)).double()
    held = {name: value.double() for name, value in ticket.trained_state.items()}
    at = {name: ticket.mask[name].flatten().nonzero().flatten() for name in WEIGHTS}

    def loss(vector: torch.Tensor) -> torch.Tensor:
        parts = dict(zip(at, vector.split([len(one) for one in at.values()]), strict=True))
        moved = {n: held[n].flatten().index_put((at[n],), parts[n]).view_as(held[n]) for n in at}
        return F.cross_entropy(functional_call(model, {**held, **moved}, (inputs.double(),)), labels)

    matrix = hessian(loss)(torch.cat([held[name].flatten()[at[name]] for name in WEIGHTS]))
    values = torch.linalg.eigvalsh(matrix).flip(0)
    assert row["hessian_weights"] == len(values)
    columns = lab.store().table(row["key"])["columns"]
    assert columns["eigenvalue"] == pytest.approx(values[:2].tolist(), rel=1e-3)
    assert row["hessian_top"] == columns["eigenvalue"][0]
    assert abs(row["hessian_top"] - float(values[0])) < 2 * row["hessian_top_residual"] + 1e-5 * float(values[0])
    assert abs(row["hessian_trace"] - float(matrix.trace())) < 4 * row["hessian_trace_error"]
    assert ran.branches[0]["hessian_weights"] == 64 * 20 + 20 * 10 + 10 * 10


WRONG: dict[str, tuple[dict[str, Any], list[Any], str]] = {
    "no earlier round": (
        {"prune.rounds": 0}, [Connectivity()], "Connectivity.to = 'previous': no round comes before round 0"
    ),
    "round 0": ({}, [Connectivity(rounds=[0])], "'previous': no round comes before round 0, the dense network; give"),
    "a round that is not there": ({}, [Connectivity(rounds=[3])], r"Connectivity.rounds = \[3\]: there are rounds"),
    "the dense network itself": ({}, [Connectivity("dense", rounds=[0])], "round 0 is the dense network itself"),
    "one rewind point": ({}, [Connectivity("rewind_points")], "there is one rewind point alone; give Study.rewind"),
    "another rewind point": (
        {"rewind": [Rewind(steps(0)), Rewind(steps(10))]},
        [Connectivity("rewind_points", rewind=[steps(5)])],
        r"Connectivity.rewind = steps\(5\): the study has no such rewind point; it has steps\(0\), steps\(10\)",
    ),
    "a ticket and itself": ({}, [Connectivity("ticket")], "Connectivity.to = 'ticket': it hangs on tickets"),
    "a branch's earlier round": (
        {}, [RandomReinit(branches=[Connectivity()])], "it hangs on another branch's result, 'random_reinit-0'; give"
    ),
    "an untrained network": (
        {"prune": Prune(fraction=0.5, at=steps(0), rounds=1)}, [Connectivity()], "round 0 takes no step of training"
    ),
    "a network that ends at its draw": (
        {"train.length": steps(100), "prune": Prune(fraction=0.5, at=EarlyBird(), rounds=1)},
        [Connectivity()],
        "round 0 ends where its mask is drawn",
    ),
    "other classes": (
        {},
        [Transfer({"target": "rotation"}, rounds=[1], branches=[Connectivity("ticket")])],
        "learns other data, for which the network has another shape",
    ),
    **{
        f"another network's {type(branch).__name__} {getattr(branch, 'to', '')}": (
            {"seeds": [0, 1]},
            [Transfer({"model.name": "lenet_40_10"}, rounds=[1], branches=[branch])],
            f"{type(branch).__name__}.*: 'transfer.*' has another network, which cannot be compared",
        )
        for branch in (Connectivity("ticket"), Connectivity("dense"), Stability(), MaskOverlap())
    },
    "units by averages": (
        {"train.ema_decay": 0.9}, [Connectivity("dense", align="weights")], "Connectivity.align = 'weights': units are"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_compared_is_said_by_the_plan(lab: Any, name: str) -> None:
    changes, branches, message = WRONG[name]
    with pytest.raises(ConfigError, match=message):
        make_plan(lab.study(changes, branches=branches))

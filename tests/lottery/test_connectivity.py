"""Copies of a ticket under other noise, and what is measured between them."""

from typing import Any

import pytest
import torch

from lth_ray import analysis, data, models
from lth_ray.config import Barrier, ConfigError, Model, RandomMask, RandomReinit, Stability, epochs, steps
from lth_ray.lottery import load_ticket, make_plan
from lth_ray.training import evaluate
from tests.conftest import IMAGES


def test_distances_of_dense_copies_cover_what_those_of_tickets_do(lab: Any) -> None:
    branches = [Barrier(points=5, rounds=[0, 1]), Stability(rounds=[0])]
    ran = lab.run(lab.study({"prune.exclude": ["output.weight"]}, branches=branches))
    pair = ran.plan.branches[0].trainings
    first, second = (lab.store().load_state(segment.trajectory, 40).model for _, segment in pair)
    apart = sum(float(((first[n] - second[n]).double() ** 2).sum()) for n in ("fc1.weight", "fc2.weight")) ** 0.5
    found = {(row["branch"], row["round"]): row for row in ran.branches}
    assert found["barrier", 0]["l2_distance"] == found["stability", 0]["l2_distance"] == pytest.approx(apart, rel=1e-6)
    ticket = load_ticket(ran.key(1), ran.store.uri)
    assert set(ticket.mask) == {"fc1.weight", "fc2.weight"}


def test_a_barrier_has_a_row_for_each_pair_and_trains_each_copy_once(lab: Any) -> None:
    plain = lab.run(lab.study(rewind=[steps(10)]))
    branches = [Barrier(children=3, points=5, rounds=[0, 2]), Stability(children=3, rounds=[0, 2])]
    ran = lab.run(lab.study(rewind=[steps(10)], branches=branches))
    assert ran.steps == ran.plan.branch_steps == 2 * 3 * 30  # no ticket again, and both branches share the copies
    assert plain.contents.items() <= ran.contents.items()
    rows = [row for row in ran.branches if row["branch"] == "barrier"]
    assert [(row["round"], row["pair"]) for row in rows] == [(r, p) for r in (0, 2) for p in ("0-1", "0-2", "1-2")]
    for row in rows:
        table = lab.store().table(row["key"])
        columns = table["columns"]
        ends = columns["test_error"][0], columns["test_error"][-1]
        assert row["lmc_error_barrier"] == pytest.approx(max(columns["test_error"]) - sum(ends) / 2)
        assert len(columns["alpha"]) == 5
        assert row["spawn_step"] == 10
        assert row["remaining_weights"] == pytest.approx({0: 1.0, 2: 0.64}[row["round"]], abs=0.01)
        assert 0 < row["share_travelled"] < 2
        assert 0 < row["angle"] < 90
    kinds = [(row["round"], row["compared"]) for row in ran.branches if row["branch"] == "stability"]
    assert kinds == [(0, "order")] * 3 + [(2, "pruning")] + [(2, "order")] * 3
    assert lab.run(lab.study(rewind=[steps(10)], branches=branches)).steps == 0


def test_the_ends_of_the_line_are_the_copies_own_errors(lab: Any) -> None:
    ran = lab.run(lab.study(branches=[Barrier(points=3, rounds=[2])]))
    (result,) = ran.plan.branches
    columns = lab.store().table(result.key)["columns"]
    for (_, child), number in zip(result.trainings, (-1, 0), strict=True):
        journal = lab.store().segment(child.key)["journal"]
        assert columns["test_error"][number] == 1 - journal["test_accuracy"][-1]
        # the line is measured by torch, a training by its backend
        assert columns["test_loss"][number] == pytest.approx(journal["test_loss"][-1], rel=1e-6)
    states = [load_ticket(child.key, lab.store().uri).trained_state for _, child in result.trainings]
    dataset = data.load(result.segment.recipe.data)
    model = models.build("lenet_20_10", 10, input_shape=(1, 8, 8))
    inputs, labels = next(iter(data.evaluation_batches(dataset.test, dataset.mean, dataset.std)))
    path = analysis.linear_path(model, *states, inputs, labels, points=3)
    assert path["error"].tolist() == pytest.approx(columns["test_error"])
    assert evaluate(model, [(inputs, labels)], IMAGES, result.segment.recipe.train).n == 400


def test_copies_part_where_they_are_told_to(lab: Any) -> None:
    spawns = [None, steps(20), steps(40)]
    ran = lab.run(lab.study(rewind=[steps(10)], branches=[Barrier(points=3, rounds=[1], spawn=s) for s in spawns]))
    found = {row["spawn_step"]: row for row in ran.branches}
    assert set(found) == {10, 20, 40}
    assert found[40]["l2_distance"] == found[40]["lmc_error_barrier"] == 0
    assert found[10]["l2_distance"] > found[20]["l2_distance"] > 0
    ticket = ran.plan.lineages[0].rounds[1].segment
    for result in ran.plan.branches:
        step = result.parameters["spawn_step"]
        for _, child in result.trainings:
            start = load_ticket(child.key, lab.store().uri).rewind_state
            own = lab.store().load_state(ticket.trajectory, step) if step > 10 else None
            if own is not None:
                assert all(torch.equal(start[name], own.model[name]) for name in start)


def test_a_barrier_hangs_on_controls_and_independent_copies_are_aligned(lab: Any) -> None:
    hung = [kind(rounds=[2], branches=[Barrier(points=3)]) for kind in (RandomMask, RandomReinit)]
    alone = [Barrier(points=3, initialisations="own", align=align, rounds=[0]) for align in (False, True)]
    ran = lab.run(lab.study(branches=[*hung, *alone]))
    rows = {row["branch"]: row for row in ran.branches if "barrier" in row["branch"]}
    assert set(rows) == {"random_mask-0/barrier", "random_reinit-0/barrier", "barrier"}
    own = [row for row in ran.branches if row["branch"] == "barrier"]
    assert [row["align"] for row in own] == [False, True]
    assert own[1]["l2_distance_aligned"] < own[0]["l2_distance"] == own[1]["l2_distance"]
    assert own[1]["lmc_loss_barrier"] < own[0]["lmc_loss_barrier"]


WRONG = {
    "beyond the end": (Barrier(spawn=steps(41)), r"Barrier.spawn = steps\(41\): step 41 lies beyond the end .*0 to 40"),
    "in epochs": (Stability(spawn=epochs(9)), r"Stability.spawn = epochs\(9\): step 171 lies beyond the end"),
    "nothing to hang on": (Barrier(branches=[RandomMask()]), "Barrier.branches: it measures and trains no ticket"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_spawned_is_said_before_training(lab: Any, name: str) -> None:
    branch, message = WRONG[name]
    with pytest.raises(ConfigError, match=message):
        make_plan(lab.study(branches=[branch]))


class Sorted(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sort(1)[0]


def sorting(num_classes: int) -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 8), Sorted(), torch.nn.Linear(8, num_classes))


def test_a_network_that_cannot_be_aligned_is_said_before_training(lab: Any) -> None:
    branches = [Barrier(points=3, align=True, rounds=[0])]
    with pytest.raises(ConfigError, match=r"Barrier.align = True: the Sorted '2' calls sort.*; leave it out"):
        make_plan(lab.study({"model": Model(sorting)}, branches=branches))
    with pytest.raises(ConfigError, match=r"Barrier.align = True: units are matched by weights, and not by their ave"):
        make_plan(lab.study({"train.ema_decay": 0.9}, branches=branches))


def test_spawning_before_the_ticket_starts_is_refused(lab: Any) -> None:
    with pytest.raises(ConfigError, match="step 5 lies before the start of the training of round 1, steps 10 to 40"):
        make_plan(lab.study(rewind=[steps(10)], branches=[Barrier(spawn=steps(5), rounds=[1])]))


def test_a_diverged_copy_leaves_no_line_to_measure(lab: Any) -> None:
    study = lab.study({"train.lr": 1e30}, branches=[Barrier(points=3)])
    ran = lab.run(study)
    assert not any(row["branch"] == "barrier" for row in ran.branches)
    assert not lab.run(study).plan.jobs


def test_states_that_only_a_table_needs_go_after_it(lab: Any) -> None:
    study = lab.study(keep="rewind", branches=[Barrier(points=3, rounds=[2])])
    ran = lab.run(study)
    (result,) = ran.plan.branches
    for _, child in result.trainings:
        assert lab.store().find_state(child.trajectory, 40) is None
    grown = lab.run(lab.study(keep="rewind", branches=[Barrier(points=5, rounds=[2])]))
    assert grown.steps == 2 * 40  # of the copies, whose ends are needed again
    assert len(grown.branches) == 1

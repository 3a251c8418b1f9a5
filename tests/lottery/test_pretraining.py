"""Pretraining on another task stands in for the first steps: against plain torch, in the plan and in the costs."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lth_ray import data, models
from lth_ray.config import ConfigError, Perturb, Pretraining, RandomReinit, Rewind, Supermask, Transfer, steps
from lth_ray.data import training_batches
from lth_ray.lottery import Plan, load_ticket, make_plan
from lth_ray.training import Recipe, Seeds

SGD = {
    "train.optimizer": "sgd", "train.lr": 0.1, "train.momentum": 0.9, "train.milestones": [steps(30)],
    "prune.scope": "global", "train.backend": "eager",
}  # fmt: skip
ROTATED = Rewind(steps(15), pretraining=Pretraining("rotation", blur=2))
State = dict[str, Tensor]


def plainly(recipe: Recipe, start: State, first: int, last: int, seeds: Seeds, mask: State | None = None) -> State:
    """Trained by a plain loop: the rate falls tenfold at step 30 of the study's own training, a pruned weight is 0."""
    model = models.build("lenet_20_10", recipe.identity.num_classes, (1, 8, 8), seed=0)
    model.load_state_dict(start)
    weights: dict[str, nn.Parameter] = dict(model.named_parameters())
    kept = mask or {}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    batches = training_batches(data.load(recipe.data), recipe.data, seeds.order, seeds.augmentation)
    with torch.no_grad():
        for name in kept:
            weights[name].mul_(kept[name])
    for step in range(first, last):
        optimizer.param_groups[0]["lr"] = 0.01 if step >= 30 else 0.1
        inputs, labels = batches.batch(step)
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), labels).backward()
        for name in kept:
            gradient = weights[name].grad
            assert gradient is not None
            gradient.mul_(kept[name])
        optimizer.step()
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def largest(state: State, share: float) -> State:
    """The mask of the largest weights of all layers, by sorting."""
    names = [name for name in state if name.endswith("weight")]
    ordered = torch.cat([state[name].abs().flatten() for name in names]).sort().values
    threshold = ordered[round(share * len(ordered))]
    return {name: state[name].abs() >= threshold for name in names}


def test_its_weights_masks_and_tickets_are_those_of_plain_torch(lab: Any) -> None:
    ran = lab.run(lab.study({**SGD, "prune.rounds": 1}, rewind=[ROTATED]))
    (lineage,) = ran.plan.lineages
    before, seeds = lineage.pretraining, lineage.seeds
    assert (before.recipe.identity.num_classes, before.first, before.last) == (4, 0, 15)
    drawn = {n: models.build("lenet_20_10", n, (1, 8, 8), seed=lineage.drawn.seed).state_dict() for n in (4, 10)}
    pretrained = plainly(before.recipe, drawn[4], 0, 15, seeds)
    start = {name: value if name.startswith("output") else pretrained[name] for name, value in drawn[10].items()}
    dense = plainly(lineage.recipe, start, 15, 40, seeds)
    mask = largest(dense, 0.2)
    ended = plainly(lineage.recipe, start, 15, 40, seeds, mask)
    ours = load_ticket(ran.key(0), ran.store.uri), load_ticket(ran.key(1), ran.store.uri)
    for name, value in start.items():
        torch.testing.assert_close(ours[0].rewind_state[name], value)
        torch.testing.assert_close(ours[1].rewind_state[name], value * mask.get(name, torch.tensor(True)))
        torch.testing.assert_close(ours[0].trained_state[name], dense[name], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(ours[1].trained_state[name], ended[name], rtol=1e-4, atol=1e-5)
    assert all(torch.equal(ours[1].mask[name], kept) for name, kept in mask.items())


def test_a_pretraining_is_planned_once_and_costs_what_the_steps_it_stands_in_for_cost(lab: Any) -> None:
    study = lab.study(SGD, rewind=[steps(15), ROTATED], branches=[RandomReinit(), RandomReinit(length="whole")])
    ran = lab.run(study)
    plain, other = ran.plan.lineages
    assert (plain.id, other.id) == ("k15/seed0", "pretraining-rotation-blur=2/k15/seed0")
    assert ran.steps == ran.plan.unique_steps == 2 * (40 + 2 * 25) + 2 * 2 * (25 + 40)
    assert not ran.failures
    assert {job.id.split("/")[0] for job in ran.plan.jobs} >= {"pretraining", "dense"}
    costs = {(row["lineage"], row["round"]): row["search_epochs"] for row in ran.tickets}
    assert [costs[plain.id, n] for n in range(3)] == [costs[other.id, n] for n in range(3)]
    again = lab.run(study)
    assert (again.steps, again.contents) == (0, ran.contents)


def test_what_is_hung_on_a_pretrained_ticket_begins_where_it_should(lab: Any) -> None:
    branches = [Transfer({"blur": 2}, rounds=[0]), Supermask("edge_popup"), RandomReinit(length="whole", rounds=[1])]
    plan: Plan = make_plan(lab.study(SGD, rewind=[ROTATED], branches=branches))
    assert [(result.segment.first, result.segment.last) for result in plan.branches] == [(0, 40)] * 3
    ran = lab.run(lab.study(SGD, rewind=[ROTATED], branches=[*branches, Perturb(at=steps(15), rounds=[1])]))
    assert not ran.failures
    ticket = ran.tickets[1]["content"]
    assert [row["content"] == ticket for row in ran.branches if row["branch"] == "perturb"] == [True]
    with pytest.raises(ConfigError, match="step 14 lies before the dense training, which begins at 15"):
        make_plan(lab.study(SGD, rewind=[ROTATED], branches=[Perturb(at=steps(14), rounds=[1])]))

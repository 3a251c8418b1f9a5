"""Examples that masks are scored by before training: balanced, inverted, spoilt, by a loss of one's own, in a team."""

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lth_ray import pruning
from lth_ray.config import (
    ConfigError,
    RandomMask,
    Rescored,
    Scoring,
    Train,
    steps,
)
from lth_ray.lottery import carry_out, load_ticket, make_plan
from lth_ray.lottery.execution import execute
from lth_ray.pruning.sample import _scattered
from lth_ray.training import Team
from tests.lottery.ladders import early, equal, initial, masks
from tests.training.teams import together


def batches(ran: Any, per_class: int, number: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The first of each class in the order of training, by plain counting."""
    lineage = ran.plan.lineages[0]
    task = lineage.recipe.task
    loaded = task.load()
    found: list[list[tuple[torch.Tensor, int]]] = [[] for _ in range(number)]
    seen = [0] * 10
    for i in range(5):
        inputs, labels = task.evidence(loaded, lineage.seeds.order, i)
        for one, label in zip(inputs, labels.tolist(), strict=True):
            if seen[label] < per_class * number:
                found[seen[label] // per_class].append((one, label))
            seen[label] += 1
    return [(torch.stack([x for x, _ in part]), torch.tensor([y for _, y in part])) for part in found]


@pytest.mark.parametrize("criterion", ["snip", "grasp"])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_a_balanced_sample_of_several_batches(lab: Any, criterion: str, mode: str) -> None:
    scoring = Scoring(mode, per_class=4, batches=3)
    ran = lab.run(early(lab, criterion=criterion, scoring=scoring, remaining=[0.2]))
    network = initial(ran)
    full = pruning.dense_mask(network)
    sample = batches(ran, 4, 3)
    assert all(labels.bincount().tolist() == [4] * 10 for _, labels in sample)
    scores = pruning.score(criterion, network, full, batch=sample, mode=mode)
    total = pruning.kept(full)
    assert equal(masks(ran)[0], pruning.prune_counts(scores, full, total - round(0.2 * total)))


def test_inverted_scores_keep_what_the_others_prune_first(lab: Any) -> None:
    ran = lab.run(early(lab, criterion="snip", remaining=[0.5]))
    inverted = lab.run(early(lab, criterion="snip", remaining=[0.5], scoring=Scoring(invert=True)), "inverted")
    upright, upside_down = masks(ran)[0], masks(inverted)[0]
    total = pruning.kept(pruning.dense_mask(initial(ran)))
    both = sum(int((upright[name] & upside_down[name]).sum()) for name in upright)
    assert pruning.kept(upside_down) == round(0.5 * total)
    assert both <= 1


@pytest.mark.parametrize("data", ["half", "random_labels", "random_pixels"])
@pytest.mark.parametrize("per_class", [None, 3])
def test_other_data_give_another_mask_of_the_same_size(lab: Any, data: str, per_class: int | None) -> None:
    scoring = Scoring(data=data, per_class=per_class)
    plan = make_plan(early(lab, criterion="snip", remaining=[0.2], scoring=scoring))
    lineage = plan.lineages[0]
    task, identity = lineage.recipe.task, lineage.recipe.identity
    loaded = task.load()
    (plain,) = pruning.sample(task, identity, loaded, Scoring(per_class=per_class), lineage.seeds.order, 5)
    (other,) = pruning.sample(task, identity, loaded, scoring, lineage.seeds.order, 5)
    if data == "half":
        half = 20 if per_class else (len(plain[1]) + 1) // 2
        assert len(other[1]) == half
        assert (other[1].bincount() == 2).all() or per_class is None
    else:
        assert torch.equal(other[0], plain[0]) == (data == "random_labels")
        assert torch.equal(other[1], plain[1]) == (data == "random_pixels")
        assert torch.equal(other[1].bincount(), plain[1].bincount())
        assert torch.equal(other[0].flatten(1).sort().values, plain[0].flatten(1).sort().values)
    mask = lineage.rounds[1].segment.mask
    assert (mask.seed is None) == (data == "half")


def test_places_of_an_image_keep_their_channels_together() -> None:
    images = torch.arange(2 * 3 * 4).view(1, 2, 3, 4).float()
    found = _scattered(images, 0, "pixels/0")
    assert not torch.equal(found, images)
    assert torch.equal(found[:, 1], found[:, 0] + 12)


def test_too_few_of_a_class_are_named_with_it(lab: Any) -> None:
    with pytest.raises(ConfigError, match=r"1 x 119 examples of each class are asked for, and of class \d there are"):
        lab.run(early(lab, criterion="snip", remaining=[0.2], scoring=Scoring(per_class=119)))


def test_the_studys_own_loss_gives_the_scores(lab: Any) -> None:
    def of_class_0(model: nn.Module, batch: Any) -> Any:
        return F.softplus(-model(batch[0])[:, 0]).mean(), {}

    train = Train(steps(2), optimizer="sgd", lr=0.1, loss=of_class_0, evaluate_every=steps(2))
    ran = lab.run(early(lab, changes={"train": train}, criterion="grasp", remaining=[0.05]))
    network = initial(ran)
    lineage = ran.plan.lineages[0]
    full, batch = (
        pruning.dense_mask(network),
        lineage.recipe.task.evidence(lineage.recipe.task.load(), lineage.seeds.order),
    )
    scores = pruning.score("grasp", network, full, batch=batch, loss=of_class_0)
    total = pruning.kept(full)
    assert equal(masks(ran)[0], pruning.prune_counts(scores, full, total - round(0.05 * total)))


def test_every_worker_of_a_team_has_the_leaders_mask(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    study = early(lab, changes={"train.batch_norm_group": 30}, criterion="grasp", iterations=3, remaining=[0.2])
    alone = masks(lab.run(study, "alone"))[0]
    plan, made = make_plan(study), execute.network

    def work(team: Team) -> Any:
        seen = []

        def network(segment: Any, mask: Any) -> nn.Module:
            seen.append({} if mask is None else mask)
            return made(segment, mask)

        monkeypatch.setattr(execute, "network", network)
        for job in plan.jobs:
            for one in job.pieces:
                carry_out(one, lab.store("team"), one.recipe.task.load(), "cpu", team=team)
        return seen[-1]

    found = together(2, work)
    assert all(equal(mask, alone) for mask in found)


def test_tickets_are_scored_otherwise_as_branches(lab: Any) -> None:
    """An inverted mask, and those of spoilt data, at the ticket's own density; what is another arm's is shared."""
    checks = [Rescored({"invert": True}), Rescored({"data": "half"}), Rescored({"data": "random_labels"}, copies=2)]
    study = early(lab, criterion="snip", remaining=[0.3])
    arms = {"upright": {"branches": checks}, "inverted": {"prune.scoring": Scoring(invert=True)}}
    ran = lab.run(replace(study, arms=arms))
    assert [(row["branch"], row["index"]) for row in ran.branches] == [("rescored", i) for i in (0, 0, 0, 1)]
    assert len({row["remaining_weights"] for row in [*ran.tickets[1::2], *ran.branches]}) == 1
    found = [load_ticket(row["key"], ran.store.uri).mask for row in ran.branches]
    own, inverted = masks(ran, 0)[0], masks(ran, 1)[0]
    assert equal(found[0], inverted)
    assert ran.branches[0]["key"] == ran.key(1, 1)
    assert ran.steps == 40 * 5
    assert not any(equal(one, own) for one in found)
    assert not equal(found[2], found[3])


@pytest.mark.parametrize(
    ("branches", "prune", "message"),
    [
        ([Rescored({"data": "half"})], {"criterion": "magnitude"}, "the criterion 'magnitude' looks at no examples"),
        ([RandomMask(branches=[Rescored({"invert": True})])], {}, "a copied or random mask has none"),
        ([Rescored({"per_class": 2})], {"criterion": "synflow"}, "'synflow' looks at no examples"),
    ],
)
def test_what_cannot_be_scored_otherwise(lab: Any, branches: Any, prune: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_plan(replace(early(lab, **prune), branches=branches))

"""A ticket's mask on another initialisation: the order that its units get there, and what the plan refuses."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import nn

from lth_ray import data, models
from lth_ray.config import (
    Barrier,
    Boxes,
    ConfigError,
    EarlyBird,
    PermutedMask,
    Pretraining,
    Prune,
    RandomReinit,
    Rewind,
    Translation,
    steps,
)
from lth_ray.lottery import load_ticket, make_plan
from lth_ray.lottery.execution import permuted
from lth_ray.lottery.execution.permuted import in_order
from lth_ray.lottery.execution.reading import recorded_mask
from lth_ray.lottery.piece_checks import _check_units
from lth_ray.models import coupled
from tests.lottery.conftest import BASE

KINDS = [PermutedMask(), PermutedMask("weights"), PermutedMask("none")]


def test_a_permuted_ticket_composed_with_the_inverse_permutation_is_the_ticket() -> None:
    model = models.build("cifar_resnet8_4", seed=0)
    coupling, generator = coupled(model, (torch.zeros(1, 3, 32, 32),)), torch.Generator().manual_seed(1)
    mask = {name: torch.rand(one.shape, generator=generator) < 0.3 for name, one in models.prunable(model).items()}
    orders = [torch.randperm(size, generator=generator) for size in coupling.sizes]
    permuted = in_order(mask, coupling, orders)
    assert not all(torch.equal(permuted[name], keeps) for name, keeps in mask.items())
    back = in_order(permuted, coupling, [order.argsort() for order in orders])
    assert all(torch.equal(back[name], keeps) for name, keeps in mask.items())
    weights = {name: value.detach() * mask[name] for name, value in models.prunable(model).items()}
    moved = in_order(weights, coupling, orders)  # a masked network whose weights and mask move alike is the same one
    assert all(torch.equal(moved[name] != 0, permuted[name] & (moved[name] != 0)) for name in mask)


def alike(rows_a: torch.Tensor, rows_b: torch.Tensor) -> torch.Tensor:
    """The unit of b that is most like each of a, by correlation over samples [samples, units]."""
    size = rows_a.shape[1]
    correlated = torch.corrcoef(torch.cat([rows_a, rows_b], 1).T.double())[:size, size:].nan_to_num(0.0)
    return torch.from_numpy(linear_sum_assignment(correlated.numpy(), maximize=True)[1])


def test_a_mask_gets_the_order_of_the_other_network_and_its_rewind_point(lab: Any) -> None:
    ran = lab.run(lab.study(rewind=[steps(10)], seeds=[0, 1], branches=KINDS))
    assert not ran.failures
    assert ran.plan.branch_steps == 2 * (40 + 2 * 3 * 30)  # one other network a seed, whatever rounds and matches
    loaded = data.load(BASE.data)
    images = torch.cat([batch[0] for batch in ran.plan.lineages[0].recipe.task.examples(loaded, loaded.train)])
    for lineage in ran.plan.lineages:
        found = {
            (result.round, result.parameters["match"]): (result.trainings[0][1], result.segment)
            for result in ran.plan.branches
            if result.lineage is lineage
        }
        for number in (1, 2):
            other, _ = found[number, "none"]
            ticket, dense = (load_ticket(lineage.rounds[n].segment.key, ran.store.uri) for n in (number, 0))
            states = dense.trained_state, load_ticket(other.key, ran.store.uri).trained_state
            results = {match: load_ticket(found[number, match][1].key, ran.store.uri) for _, match in found}
            point = ran.store.load_state(other.trajectory, 10).model
            for match, result in results.items():
                for name, value in point.items():
                    assert torch.equal(result.rewind_state[name], value * result.mask.get(name, True)), match
                assert all(keeps.sum() == ticket.mask[name].sum() for name, keeps in result.mask.items())
            assert all(torch.equal(results["none"].mask[name], keeps) for name, keeps in ticket.mask.items())
            assert not torch.equal(results["weights"].mask["fc2.weight"], ticket.mask["fc2.weight"])
            first = [torch.relu(images.flatten(1) @ s["fc1.weight"].T + s["fc1.bias"]) for s in states]
            second = [torch.relu(x @ s["fc2.weight"].T + s["fc2.bias"]) for x, s in zip(first, states, strict=True)]
            rows, columns = alike(second[1], second[0]), alike(first[1], first[0])
            by_hand = {
                "fc1.weight": ticket.mask["fc1.weight"][columns],
                "fc2.weight": ticket.mask["fc2.weight"][rows][:, columns],
                "output.weight": ticket.mask["output.weight"][:, rows],
            }
            assert all(torch.equal(results["activations"].mask[name], keeps) for name, keeps in by_hand.items())


def test_the_other_network_is_that_of_barriers_between_initialisations(lab: Any) -> None:
    both = [PermutedMask("weights", rounds=[1], copies=2), Barrier(initialisations="own", rounds=[0], points=3)]
    plan, alone = (make_plan(lab.study(branches=branches)) for branches in (both, both[:1]))
    assert plan.branch_steps == alone.branch_steps == 4 * 40


class Unread(nn.Module):
    """Units that nothing reads by a layer of its own: they are summed."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(64, 8), nn.Linear(8, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        units = torch.relu(self.first(images.flatten(1)))
        logits: torch.Tensor = torch.nn.functional.linear(units, self.second.weight) + units.sum(1, keepdim=True)
        return logits


@pytest.mark.parametrize(
    ("changes", "fields", "said"),
    [
        (
            {"prune": Prune(fraction=0.2, rounds=1, at=EarlyBird(window=2))},
            {},
            r"PermutedMask with Prune.at = EarlyBird",
        ),
        ({"prune.at": steps(0)}, {}, "PermutedMask with Prune.at: the dense network is not trained"),
        ({}, {"rewind": [Rewind(steps(5), pretraining=Pretraining("rotation"))]}, "PermutedMask with Rewind.pretrain"),
        ({"train.ema_decay": 0.9}, {}, "PermutedMask.match = 'activations': units are matched by weights"),
    ],
)
def test_what_has_no_other_network_to_be_matched_with_is_refused(
    lab: Any, changes: dict[str, Any], fields: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        make_plan(lab.study(changes, **{"branches": [PermutedMask(rounds=[1])], **fields}))


def test_permuted_masks_hang_on_controls_too_and_survive_kills(lab: Any) -> None:
    study = lab.study({"prune.rounds": 1}, branches=[RandomReinit(branches=[PermutedMask("weights")])])
    ran = lab.run(study, "whole")
    assert not ran.failures
    before = lab.interrupted(study, 130, every_s=0)
    again = lab.run(study, every_s=0)
    assert before + again.steps == ran.steps + 1
    assert again.contents == ran.contents


def test_activations_are_compared_where_the_examples_are(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A data set that is kept on a GPU has its batches there; "meta" stands for it."""
    from lth_ray.analysis import activations

    ran = lab.run(lab.study({"prune.rounds": 1}, branches=[PermutedMask(examples=300, rounds=[1])]))
    segment, asked = ran.plan.branches[0].segment, []
    base = recorded_mask(ran.store, segment.mask.of)
    dataset = segment.recipe.task.load()
    elsewhere = [tuple(one.to("meta") for one in batch) for batch in permuted._first(segment.recipe, dataset, 300)]

    def matched(model: nn.Module, coupling: Any, a: Any, b: Any, examples: Any, caller: Any) -> list[torch.Tensor]:
        asked.append((next(model.parameters()).device, [batch[0].device for batch in examples]))
        return [torch.arange(size) for size in coupling.sizes]

    monkeypatch.setattr(activations, "match_activations", matched)
    monkeypatch.setattr(permuted, "_first", lambda *_: iter(elsewhere))
    mask = permuted.permuted_mask(segment.mask, base, segment.recipe, ran.store, dataset)
    assert asked == [(torch.device("meta"), [torch.device("meta")] * len(elsewhere))]
    assert all(torch.equal(mask[name], keeps) for name, keeps in base.items())


@pytest.mark.parametrize(
    "data",
    [
        Boxes("voc:nowhere", batch_size=2, validation="own", image_size=32),
        Translation("text:nowhere", vocabulary=300, tokens=120, batch_size=2, validation=2),
    ],
)
def test_networks_that_choose_what_they_see_are_not_compared_by_activations(data: Any) -> None:
    recipe: Any = SimpleNamespace(train=SimpleNamespace(is_averaged=False), has_epochs=True, data=data)
    with pytest.raises(ConfigError, match=rf"a network for {type(data).__name__} chooses by itself .* by weights"):
        _check_units(recipe, "CrossedMask.match = 'activations'", "activations")

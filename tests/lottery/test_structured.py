"""Structured tickets: rounds, methods and branches on masks of whole units, kills, and what the plan refuses."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from lth_ray.config import (
    Barrier,
    ConfigError,
    EarlyBird,
    Model,
    Perturb,
    Prune,
    RandomMask,
    RandomReinit,
    Rescored,
    Rewind,
    Scoring,
    ShuffledMask,
    Stability,
    Supermask,
    Transfer,
    steps,
)
from lth_ray.lottery import load_ticket, make_plan
from lth_ray.models import unit_layers
from lth_ray.pruning.structured import of_units, with_units


class Residual(nn.Module):
    """A convolution, a block whose shortcut adds to it, and two linear layers: 14 channels and 10 neurons."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem, self.stem_norm = nn.Conv2d(1, 6, 3, padding=1, stride=2), nn.BatchNorm2d(6)
        self.inner, self.inner_norm = nn.Conv2d(6, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.outer = nn.Conv2d(8, 6, 3, padding=1)
        self.hidden, self.output = nn.Linear(6, 10), nn.Linear(10, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem_norm(self.stem(images)))
        x = torch.relu(x + self.outer(torch.relu(self.inner_norm(self.inner(x)))))
        logits: torch.Tensor = self.output(torch.sigmoid(self.hidden(x.mean((2, 3)))))
        return logits


ALL = unit_layers(Residual(10), (torch.zeros(1, 1, 8, 8),))
SHORT = {"model": Model(Residual), "train.length": steps(12), "train.evaluate_every": steps(12)}


def channels(criterion: str = "l1", **fields: Any) -> Prune:
    return Prune(criterion, **{"structure": "channels", "fraction": 0.3, "rounds": 2, **fields})


def counts(ticket: Any, structure: str = "channels") -> dict[str, int]:
    """The units left of each layer, of a mask that is of whole units alone."""
    layers = [layer for layer in ALL if structure in ("units", layer.kind)]
    kept = of_units(ticket.mask, layers)
    whole = with_units(kept, layers, dict(Residual(10).named_parameters()))
    assert list(whole) == list(ticket.mask)
    assert all(torch.equal(whole[name], keeps) for name, keeps in ticket.mask.items())
    for name, keeps in ticket.mask.items():
        assert not ticket.trained_state[name][~keeps].any()
    return {name: int(units.count_nonzero()) for name, units in kept.items()}


def test_rounds_prune_whole_channels_of_the_lowest_norms(lab: Any) -> None:
    ran = lab.run(lab.study({**SHORT, "prune": channels()}))
    assert not ran.failures
    dense, first, second = (load_ticket(ran.key(number), ran.store.uri) for number in range(3))
    weights = dense.trained_state
    norms = [weights[name].abs().sum((1, 2, 3)) for name in ("stem.weight", "outer.weight", "inner.weight")]
    scores = torch.cat([(norms[0] + norms[1]) / 2, norms[2]])
    lowest = scores.argsort(stable=True)[: round(0.3 * 14)]
    kept = torch.cat([of_units(first.mask, ALL)[name] for name in ("stem.weight", "inner.weight")])
    assert torch.equal((~kept).nonzero().flatten(), lowest.sort().values)
    assert sum(counts(first).values()) == 10 and sum(counts(second).values()) == 10 - 3  # noqa: PT018
    assert all(int(row["train_steps"]) == 12 for row in ran.tickets)
    members = {"stem.bias", "stem_norm.weight", "stem_norm.bias", "outer.weight", "outer.bias", "hidden.weight"}
    assert members <= set(first.mask)
    assert not {"hidden.bias", "output.weight", "output.bias"} & set(first.mask)
    everything = sum(value.numel() for value in first.mask.values())
    assert ran.tickets[1]["remaining_weights"] == pytest.approx(sum(map(torch.sum, first.mask.values())) / everything)


RULES: dict[str, tuple[dict[str, Any], int]] = {
    **{
        criterion: (
            {"prune": channels(criterion, scoring=Scoring(per_class=2) if criterion == "taylor" else Scoring())},
            7,
        )
        for criterion in ("l2", "taylor", "random", "geometric_median", "magnitude", "snip", "synflow", "movement")
    },
    "bn_scale": ({"prune": channels("bn_scale")}, 7),
    "thinet": ({"prune": channels("thinet", scope="layer", scoring=Scoring(per_class=1))}, 3 + 4),
    "layer": ({"prune": channels(scope="layer", fraction={"stem*": 0.5, "inner*": 0.25})}, 1 + 4),
    "stage": ({"prune": channels(scope="stage", fraction={"4x4": 0.3})}, 7),
    "units": ({"prune": channels(structure="units")}, 24 - 7 - 5),
    "neurons": ({"prune": channels(structure="neurons")}, 5),
    "included": ({"prune": channels(exclude=["inner.*"], include=["hidden.weight"])}, 16 - 5 - 3),
    "one_shot": ({"prune": channels(one_shot=True)}, 7),
    "ladder": ({"prune": channels(fraction=None, remaining=[0.7, 0.5])}, 7),
    "steps": ({"prune": channels(iterations=3)}, 7),
    "inverted": ({"prune": channels(scoring=Scoring(invert=True))}, 7),
    "at initialisation": ({"prune": channels("taylor", at=steps(0))}, 7),
    "early bird": ({"prune": channels(rounds=1, at=EarlyBird(window=2, distance=0.9)), "train.length": steps(60)}, 10),
    "learning_rate": ({"prune": channels(), "rewind": [Rewind(steps(3), method="learning_rate")]}, 7),
    "fine_tune": ({"prune": channels(), "rewind": [Rewind(steps(3), method="fine_tune")]}, 7),
    "continue": ({"prune": channels(), "rewind": [Rewind(steps(3), method="continue")]}, 7),
    "scratch": ({"prune": channels(), "rewind": [Rewind(steps(0), method="scratch")]}, 7),
    "cheaply": ({"prune": channels(search_precision="bf16"), "train.precision": "fp32"}, 7),
}


# one case of each kind (a criterion of weights, of gradients, of batches; a scope; a structure; a schedule; a moment; a
# method) is fast
SLOW = (
    "l2", "random", "magnitude", "geometric_median", "synflow", "movement", "bn_scale", "stage", "neurons", "one_shot",
    "steps", "inverted", "early bird", "learning_rate", "continue", "scratch", "cheaply",
)  # fmt: skip


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in RULES]
)
def test_every_rule_and_method_leaves_whole_units(lab: Any, name: str) -> None:
    changes, left = RULES[name]
    ran = lab.run(lab.study({**SHORT, **changes}))
    assert not ran.failures
    rule = ran.plan.lineages[0].prune
    ticket = load_ticket(ran.key(rule.num_rounds), ran.store.uri)
    if name == "included":
        chosen = [layer for layer in ALL if layer.name != "inner.weight"]
        kept = of_units(ticket.mask, chosen)
        assert set(ticket.mask) == set(with_units(kept, chosen, dict(Residual(10).named_parameters())))
        assert sum(int(units.count_nonzero()) for units in kept.values()) == left
        return
    found = counts(ticket, rule.structure)
    assert sum(found.values()) == left
    assert min(found.values()) >= 1


BRANCHES = [
    RandomReinit(),
    RandomMask(copies=2),
    ShuffledMask(),
    Rescored({"invert": True}),
    Perturb("init"),
    Barrier(children=2, points=3),
    Stability(),
    Supermask("bernoulli"),
    Transfer({"validation": 100}, start="trained"),
]


def test_branches_of_structured_tickets(lab: Any) -> None:
    ran = lab.run(lab.study({**SHORT, "prune": channels(rounds=1)}, branches=BRANCHES))
    assert not ran.failures
    ticket = load_ticket(ran.key(1), ran.store.uri)
    assert sum(counts(ticket).values()) == 10
    found = {}
    for result in ran.plan.branches:
        if result.round == 1 and result.table is None and result.path != "supermask":
            found[f"{result.path}-{result.index}"] = load_ticket(result.segment.key, ran.store.uri)
    left = {name: counts(branch) for name, branch in found.items()}
    assert left.keys() >= {
        "random_reinit-0",
        "random_mask-1",
        "shuffled_mask-0",
        "rescored-0",
        "perturb-0",
        "transfer-0",
    }
    for name in left.keys() - {"shuffled_mask-0", "rescored-0"}:
        assert left[name] == counts(ticket)  # as many in each layer
    for name in ("random_mask-0", "random_mask-1"):
        assert any(not torch.equal(found[name].mask[one], keeps) for one, keeps in ticket.mask.items())
    assert {sum(one.values()) for one in left.values()} == {10}


def test_redrawn_tickets_of_whole_units_have_the_scales_that_batch_norms_begin_with(lab: Any) -> None:
    """They are the same number, and no distribution: of mean 0 and standard deviation 0 they would be zeros."""
    drawn = [Perturb(weights) for weights in ("redrawn", "constant")]
    ran = lab.run(lab.study({**SHORT, "prune": channels(rounds=1)}, branches=drawn))
    for result in ran.plan.branches:
        found = load_ticket(result.segment.key, ran.store.uri)
        scale, kept = found.rewind_state["stem_norm.weight"], found.mask["stem_norm.weight"]
        assert torch.equal(scale, kept.float())


@pytest.mark.slow
def test_structured_tickets_and_their_branches_survive_kills(lab: Any) -> None:
    study = lab.study({**SHORT, "prune": channels(rounds=1)}, branches=BRANCHES)
    ran = lab.run(study, "whole")
    assert not ran.failures
    before = lab.interrupted(study, 50, every_s=0)
    again = lab.run(study, every_s=0)
    assert before + again.steps == ran.steps + 1
    assert again.contents == ran.contents


def test_another_output_layer_loses_the_columns_of_removed_units(lab: Any) -> None:
    rule = channels(structure="units", rounds=1)
    study = lab.study({**SHORT, "prune": rule}, branches=[Transfer({"target": "rotation"}, rounds=[1])])
    ran = lab.run(study)
    assert not ran.failures
    (result,) = ran.plan.branches
    ticket, found = (load_ticket(key, ran.store.uri) for key in (ran.key(1), result.segment.key))
    assert found.mask["output.weight"].shape[1:] == ticket.mask["output.weight"].shape[1:]
    assert torch.equal(found.mask["output.weight"][0], ticket.mask["output.weight"][0])
    assert not found.mask["output.weight"].all()


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "structure": (
        channels(structure="heads"),
        "Prune.structure = 'heads': the network has no layer .*; it has channels and",
    ),
    "all": (channels(fraction=0.9, rounds=1), "13 of the 14 units would go, and 2 layers keep one each"),
    "layer": (channels(fraction=0.92, scope="layer", rounds=1), "6 of the 6 units of 'stem.weight'"),
    "glob": (
        channels(fraction={"nothing*": 0.5}, scope="layer"),
        "Prune.fraction: glob 'nothing.' matches no parameter",
    ),
    "exclude": (channels(exclude=["*"]), "Prune.exclude"),
    "empty ladder": (
        channels(fraction=None, rounds=None, remaining=[0.01], scope="layer"),
        "would leave less than one",
    ),
    "bn_scale": (channels("bn_scale", structure="units"), "no batch norm scales the units of hidden.weight"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_plan_refuses(lab: Any, name: str) -> None:
    rule, message = REFUSED[name]
    with pytest.raises(ConfigError, match=message):
        make_plan(lab.study({**SHORT, "prune": rule}))


def test_a_last_unit_goes_where_that_is_asked_for(lab: Any) -> None:
    rule = channels(fraction={"stem*": 0.1, "inner*": 0.99}, scope="layer", rounds=1)
    with pytest.raises(ConfigError, match=r"8 of the 8 units of 'inner.weight' would go, and 1 layer keeps one each"):
        make_plan(lab.study({**SHORT, "prune": rule}))
    ran = lab.run(lab.study({**SHORT, "prune": replace(rule, may_empty_layers=True)}))
    assert counts(load_ticket(ran.key(1), ran.store.uri)) == {"stem.weight": 5, "inner.weight": 0}


def test_a_network_that_cannot_be_read_is_refused_by_name(lab: Any) -> None:
    class Sorted(Residual):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return super().forward(images.sort(0).values + self.stem(images).sort(1).values.mean())

    with pytest.raises(ConfigError, match=r"calls .*sort.*, of which it is not known what it does to units"):
        make_plan(lab.study({**SHORT, "model": Model(Sorted), "prune": channels()}))


DECLARED = {
    "criterion = 'l1': it ranks units": {"criterion": "l1", "structure": None},
    "scope = 'stage': stages are of units": {"criterion": "magnitude", "structure": None, "scope": "stage"},
    "coupled = 'sum'": {"criterion": "magnitude", "structure": None, "coupled": "sum"},
    "may_empty_layers = True": {"criterion": "magnitude", "structure": None, "may_empty_layers": True},
    "Prune.densities: it is about single weights": {
        "fraction": None, "remaining": [0.5], "rounds": None, "densities": "erk", "scope": "layer",
    },
    "'thinet' orders the units of each layer apart": {"criterion": "thinet"},
}  # fmt: skip


@pytest.mark.parametrize("message", DECLARED)
def test_declarations_that_are_refused(message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        channels(**DECLARED[message])

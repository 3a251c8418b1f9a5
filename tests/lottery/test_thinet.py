"""ThiNet in a study: layers pruned in turn, and inherited weights rescaled so that the next layers are rebuilt."""

from typing import Any

import pytest
import torch
from torch import nn

from lth_ray import data
from lth_ray.config import ConfigError, Model, Perturb, Prune, RandomMask, Rewind, Scoring, Transfer, steps
from lth_ray.data.order import uniform
from lth_ray.lottery import load_ticket, make_plan
from lth_ray.lottery.sources import Pruned
from lth_ray.pruning import sample

POSITIONS = 10


class Chain(nn.Module):
    """Three convolutions without biases and an output: 4, 6 and 5 channels."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        self.second = nn.Conv2d(4, 6, 3, stride=2, bias=False)
        self.third = nn.Conv2d(6, 5, 3, bias=False)
        self.output = nn.Linear(5, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.second(torch.relu(self.first(images))))
        logits: torch.Tensor = self.output(torch.relu(self.third(x)).mean((2, 3)))
        return logits


def thinet(**fields: Any) -> Prune:
    given = {"structure": "channels", "scope": "layer", "fraction": {"first*": 0.5, "second*": 0.5, "third*": 0.4}}
    return Prune("thinet", **{**given, "rounds": 1, "scoring": Scoring(per_class=2), **fields})


SHORT = {"model": Model(Chain), "train.length": steps(12), "train.evaluate_every": steps(12)}
TUNED = {**SHORT, "rewind": [Rewind(steps(6), method="fine_tune")]}


def by_hand(weights: dict[str, torch.Tensor], images: torch.Tensor, seed: int) -> dict[str, torch.Tensor]:
    """Prune and rescale layer after layer, in numbers of this test's own but for what is drawn."""
    weights = {name: value.double() for name, value in weights.items()}
    names = ["first", "second", "third", "output"]
    for layer, reader, stride, pad, go in (("first", "second", 2, 0, 2), ("second", "third", 1, 0, 3)):
        x = images.double()
        for name in names[: names.index(layer) + 1]:
            padding, by = (1, 1) if name == "first" else (0, 2 if name == "second" else 1)
            x = torch.relu(nn.functional.conv2d(x, weights[f"{name}.weight"], padding=padding, stride=by))
        kernel = weights[f"{reader}.weight"]
        alone = torch.stack(
            [nn.functional.conv2d(x[:, [c]], kernel[:, [c]], stride=stride, padding=pad) for c in range(x.shape[1])], -1
        )  # [images, filters, y, x, channels]
        number, sizes = len(images) * POSITIONS, alone.shape[2:4]
        drawn = uniform(seed, f"thinet/{layer}.weight/{reader}/0", 2 * number).view(2, number)
        place, filters = (drawn[0] * sizes.numel()).long(), (drawn[1] * len(kernel)).long()
        image = torch.arange(len(images)).repeat_interleave(POSITIONS)
        parts = alone[image, filters, place // sizes[1], place % sizes[1]]
        gone: list[int] = []
        for _ in range(go):
            left = [c for c in range(parts.shape[1]) if c not in gone]
            gone.append(min(left, key=lambda c: float(parts[:, [*gone, c]].sum(1).square().sum())))
        left = [c for c in range(parts.shape[1]) if c not in gone]
        factors = torch.linalg.lstsq(parts[:, left], parts.sum(1)).solution
        weights[f"{layer}.weight"][gone] = 0
        kernel[:, gone] = 0
        kernel[:, left] *= factors[:, None, None]
    return weights


def test_layers_are_pruned_in_turn_and_rescaled(lab: Any) -> None:
    rule = thinet(in_turn=True, rescale=True, exclude=["third.weight"], fraction={"first*": 0.5, "second*": 0.5})
    ran = lab.run(lab.study({**TUNED, "prune": rule}))
    assert not ran.failures
    segment = ran.plan.lineages[0].rounds[1].segment
    assert isinstance(segment.mask, Pruned)
    assert segment.mask.order is not None
    recipe, dense = segment.recipe, load_ticket(ran.key(0), ran.store.uri).trained_state
    ((images, _),) = sample(recipe.task, recipe.identity, data.load(recipe.data), rule.scoring, segment.mask.order, 0)
    expected = by_hand(dense, images, segment.mask.seed or 0)
    ticket = load_ticket(ran.key(1), ran.store.uri)
    for name, value in expected.items():
        assert torch.allclose(ticket.rewind_state[name].double(), value, atol=1e-5), name
    assert torch.equal(ticket.mask["first.weight"][:, 0, 0, 0], expected["first.weight"].flatten(1).any(1))
    assert ran.tickets[1]["scoring_flops"] > 0


def test_what_is_rescaled(lab: Any) -> None:
    """Weights that are inherited, those of controls by their own masks, in every round; rewound ones are not."""
    studies = {
        name: lab.run(lab.study({**changes, "prune": thinet(rounds=2, rescale=rescale)}, branches=[RandomMask()]), name)
        for name, changes, rescale in (("plain", TUNED, False), ("rescaled", TUNED, True), ("rewound", SHORT, True))
    }
    tickets = {
        name: [load_ticket(ran.key(number), ran.store.uri) for number in range(3)] for name, ran in studies.items()
    }
    plain, rescaled, rewound = (tickets[name] for name in studies)
    for first, second in ((plain[1], rescaled[1]), (plain[1], rewound[1])):
        assert all(torch.equal(first.mask[name], keeps) for name, keeps in second.mask.items())
    apart = {
        name for name, value in plain[1].rewind_state.items() if not torch.equal(value, rescaled[1].rewind_state[name])
    }
    assert apart == {"second.weight", "third.weight", "output.weight"}
    start = load_ticket(studies["rewound"].key(0), studies["rewound"].store.uri).rewind_state
    assert all(
        torch.equal(v, start[name] * rewound[1].mask.get(name, 1)) for name, v in rewound[1].rewind_state.items()
    )
    control = next(one for one in studies["rescaled"].plan.branches if one.round == 1)
    of = load_ticket(control.segment.key, studies["rescaled"].store.uri)
    dense = rescaled[0].trained_state
    ratio = (of.rewind_state["second.weight"] / dense["second.weight"])[of.mask["second.weight"]]
    assert not torch.allclose(ratio, torch.ones_like(ratio), atol=1e-3)
    assert len(ratio.round(decimals=4).unique()) == 2  # a factor for each of its own two channels
    assert any(not torch.equal(of.mask[name], keeps) for name, keeps in rescaled[1].mask.items())
    again = lab.run(lab.study({**TUNED, "prune": thinet(rounds=2, rescale=True)}, branches=[RandomMask()]), "rescaled")
    assert again.steps == 0
    assert [row["content"] for row in again.tickets] == [row["content"] for row in studies["rescaled"].tickets]


@pytest.mark.slow
def test_kills_of_rescaled_tickets(lab: Any) -> None:
    study = lab.study({**TUNED, "prune": thinet(in_turn=True, rescale=True)})
    whole = lab.run(study, "whole")
    before = lab.interrupted(study, 15, every_s=0)
    again = lab.run(study, every_s=0)
    assert before + again.steps == whole.steps + 1
    assert again.contents == whole.contents


def test_keys_move_for_what_is_asked_alone(lab: Any) -> None:
    def keys(study: Any) -> list[str]:
        return [one.segment.key for one in make_plan(study).lineages[0].rounds]

    plain = keys(lab.study({**TUNED, "prune": thinet()}))
    assert plain == keys(lab.study({**TUNED, "prune": thinet(rescale=False, in_turn=False)}))
    rescaled, in_turn = (
        keys(lab.study({**TUNED, "prune": thinet(**one)})) for one in ({"rescale": True}, {"in_turn": True})
    )
    assert plain[0] == rescaled[0] == in_turn[0]
    assert len({plain[1], rescaled[1], in_turn[1]}) == 3


def test_what_is_refused(lab: Any) -> None:
    with pytest.raises(ConfigError, match="the factors are ThiNet's, and criterion = 'l1'"):
        Prune("l1", structure="channels", fraction=0.5, rounds=1, rescale=True)
    with pytest.raises(ConfigError, match=r"Prune.scope = 'global': layers that are pruned in turn rank their own"):
        Prune(fraction=0.5, rounds=1, in_turn=True)
    restored = [Rewind(steps(6), method="fine_tune", optimizer="restored")]
    for changes, message in (
        ({"rewind": restored}, r"Prune.rescale = True and Rewind.optimizer = 'restored'"),
        ({"train.ema_decay": 0.9}, r"Prune.rescale = True and Train.ema_decay"),
    ):
        with pytest.raises(ConfigError, match=message):
            make_plan(lab.study({**TUNED, "prune": thinet(rescale=True), **changes}))


def test_what_is_rescaled_is_not_carried_to_other_data_behind_other_weights(lab: Any) -> None:
    """Batch norms of another step, or a perturbation first: the examples would be others."""
    normed = {"model": Model("cifar_resnet8_4"), "rewind": [Rewind(steps(6), method="fine_tune", batch_norm="rewound")]}
    rule = Prune("thinet", structure="channels", scope="layer", fraction={"*": 0.3}, rounds=1, rescale=True)
    other = Transfer({"part": "a"}, rounds=[1])
    for changes, branch in (
        ({**normed, "prune": rule}, other),
        ({"prune": thinet(rescale=True)}, Perturb("shuffle_layer", rounds=[1], branches=[other])),
    ):
        with pytest.raises(ConfigError, match=r"Transfer: a ticket of Prune.rescale begins with weights that examples"):
            make_plan(lab.study({**TUNED, **changes}, branches=[branch]))


def test_masks_found_in_other_trainings_do_not_rescale(lab: Any) -> None:
    led = {"rewind": [Rewind(steps(6), method="learning_rate", masks="weights")], "prune": thinet(rescale=True)}
    with pytest.raises(
        ConfigError, match=r"Prune.rescale = True and Rewind.masks = 'weights': weights are rescaled in"
    ):
        make_plan(lab.study({**SHORT, **led}))

"""Guided pruning and sparsifying: the pattern of a ticket's mask, carried to another network on other data."""

from typing import Any

import pytest
import torch
from torch import nn

from lth_ray import models
from lth_ray.config import (
    ConfigError,
    Guided,
    Model,
    Prune,
    RandomMask,
    RandomReinit,
    Scratch,
    ShuffledMask,
    Transfer,
)
from lth_ray.lottery import load_ticket, make_plan
from lth_ray.models import unit_layers
from lth_ray.pruning import Mask
from lth_ray.pruning.structured import of_units, with_units
from lth_ray.pruning.structured.patterns import (
    guided_channels,
    guided_positions,
    shares_of_channels,
    shares_of_positions,
)
from tests.lottery.test_structured import SHORT

IMAGE = (torch.zeros(1, 1, 16, 16),)


class Staged(nn.Module):
    """Two stages of 3x3 convolutions, `wide` and 2 x `wide` channels, `deep` of them each; a 1x1 one between."""

    def __init__(self, num_classes: int, wide: int = 8, deep: int = 1, stages: int = 2) -> None:
        super().__init__()
        layers, before = [], 1
        for stage in range(stages):
            for _ in range(deep):
                layers.append(nn.Conv2d(before, wide << stage, 3, padding=1))
                layers.append(nn.ReLU())
                before = wide << stage
            layers.append(nn.AvgPool2d(2))
        self.body, self.output = nn.Sequential(*layers), nn.Linear(before, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.output(self.body(images).mean((2, 3)))
        return logits


def test_channels_by_hand() -> None:
    given, other = Staged(10, deep=2), Staged(3, wide=6, deep=3)
    layers = unit_layers(given, IMAGE)
    kept = {layer.name: torch.arange(layer.size) < (2, 6, 8, 4)[number] for number, layer in enumerate(layers)}
    mask = with_units(kept, layers, dict(given.named_parameters()))
    shares = shares_of_channels(mask, layers)
    assert shares == [(2 / 8 + 6 / 8) / 2, (8 / 16 + 4 / 16) / 2]
    assert shares_of_channels(mask, layers, same=True) == pytest.approx([sum(shares) / 2] * 2)
    theirs = unit_layers(other, IMAGE)
    found = of_units(guided_channels(shares, theirs, dict(other.named_parameters())), theirs)
    assert [int(one.count_nonzero()) for one in found.values()] == [3, 3, 3, *[round(0.375 * 12)] * 3]
    kept[layers[2].name][:], kept[layers[3].name][:] = False, False
    with pytest.raises(ConfigError, match="the ticket keeps no channel of the stage of 8x8 images"):
        shares_of_channels(with_units(kept, layers, dict(given.named_parameters())), layers)
    three = Staged(3, stages=3)
    with pytest.raises(ConfigError, match="the network has 3 stages, and the ticket's 2"):
        guided_channels(shares, unit_layers(three, IMAGE), dict(three.named_parameters()))


def test_positions_by_hand() -> None:
    given, other = Staged(10, deep=2), Staged(3, wide=6, deep=3)
    torch.manual_seed(0)
    mask = {
        name: torch.rand(one.shape) < torch.linspace(0.1, 0.9, 9).view(3, 3)
        for name, one in given.named_parameters()
        if one.dim() == 4
    }
    sizes = models.image_sizes(given, IMAGE)
    shares = shares_of_positions(mask, sizes)
    first, second = (mask[f"body.{number}.weight"].double().mean((0, 1)) for number in (0, 2))
    assert torch.allclose(shares[0][3, 3], (first + second) / 2)
    (uniform, again) = (one[3, 3] for one in shares_of_positions(mask, sizes, same=True))
    total = sum(int(one.sum()) for one in mask.values()) / sum(one.numel() for one in mask.values())
    assert torch.allclose(uniform, torch.full((3, 3), total, dtype=torch.double))
    assert torch.equal(uniform, again)
    found = guided_positions(shares, other, models.image_sizes(other, IMAGE), seed=1)
    assert list(found) == [name for name, one in other.named_parameters() if one.dim() == 4]
    for name, keeps in found.items():
        stage = int(name.split(".")[1]) > 6
        expected = (shares[stage][3, 3] * keeps[:, :, 0, 0].numel()).round()
        assert torch.equal(keeps.sum((0, 1)).double(), expected)
    assert not torch.equal(
        found["body.2.weight"], guided_positions(shares, other, models.image_sizes(other, IMAGE), 2)["body.2.weight"]
    )
    mask = {name: one & (one.shape[0] < 16) for name, one in mask.items()}
    with pytest.raises(ConfigError, match="the ticket keeps no weight of the stage of 8x8 images"):
        shares_of_positions(mask, sizes)


CHANNELS = Prune("l1", structure="channels", scope="layer", keep={"body.0.weight": 2, "body.3.weight": 12}, rounds=1)
BIG = Model(Staged, options={"wide": 12, "deep": 2})


def test_they_are_branches_of_tickets(lab: Any) -> None:
    changes = {**SHORT, "model": Model(Staged), "prune": CHANNELS}
    asked = [
        Guided("channels", model=BIG, changes={"target": "rotation"}),
        Guided("channels", uniform=True, model=BIG),
        Guided("positions", copies=2),
        Guided("positions", uniform=True, model=BIG),
    ]
    ran = lab.run(lab.study(changes, branches=asked))
    assert not ran.failures
    found = [load_ticket(result.segment.key, ran.store.uri) for result in ran.plan.branches]
    layers = unit_layers(Staged(4, wide=12, deep=2), (torch.zeros(1, 1, 8, 8),))
    units = [[int(one.count_nonzero()) for one in of_units(ticket.mask, layers).values()] for ticket in found[:2]]
    assert units == [[3, 3, 18, 18], [6, 6, 12, 12]]
    assert found[0].mask["output.weight"].shape[0] == 4
    ticket = load_ticket(ran.key(1), ran.store.uri)
    densities = {name: float(one.double().mean()) for name, one in ticket.mask.items() if one.dim() == 4}
    for copy in found[2:4]:
        assert all(
            float(copy.mask[name].double().mean()) == pytest.approx(one, abs=0.02) for name, one in densities.items()
        )
    assert not torch.equal(found[2].mask["body.3.weight"], found[3].mask["body.3.weight"])
    assert lab.run(lab.study(changes, branches=asked)).steps == 0


def counted(mask: Mask) -> dict[str, int]:
    return {name: int(keeps.sum()) for name, keeps in mask.items()}


def test_random_masks_of_theirs_are_of_what_the_pattern_is_of(lab: Any) -> None:
    """Of single weights, or of channels of the network that is made; not of what the study's rule prunes."""
    changes = {**SHORT, "model": Model(Staged), "prune": CHANNELS}
    asked = [
        Guided("positions", branches=[RandomMask()]),
        Guided("channels", model=BIG, branches=[ShuffledMask("layer")]),
    ]
    ran = lab.run(lab.study(changes, branches=asked))
    assert not ran.failures
    masks = [(one.path, load_ticket(one.segment.key, ran.store.uri).mask) for one in ran.plan.branches]
    (random,) = (mask for path, mask in masks if path.endswith("random_mask"))
    (shuffled,) = (mask for path, mask in masks if path.endswith("shuffled_mask"))
    ours, channels = (mask for path, mask in masks if path.endswith("guided"))
    assert counted(random) == counted(ours)
    assert not torch.equal(random["body.3.weight"], ours["body.3.weight"])
    layers = unit_layers(Staged(10, wide=12, deep=2), (torch.zeros(1, 1, 8, 8),))
    units, before = of_units(shuffled, layers), of_units(channels, layers)
    assert counted(units) == counted(before)
    assert any(not torch.equal(units[name], one) for name, one in before.items())
    whole = with_units(units, layers, dict(Staged(10, wide=12, deep=2).named_parameters()))
    assert all(torch.equal(whole[name], keeps) for name, keeps in shuffled.items())


REFUSED = {
    "has 1 stages, and that of the ticket 2": Guided("channels", model=Model(Staged, options={"stages": 1})),
    **{
        f"{type(branch).__name__}: it is of the study's network": Guided("channels", model=BIG, branches=[branch])
        for branch in (RandomReinit(), Scratch(), Transfer({"target": "rotation"}))
    },
    "Guided.changes: Data has no field 'nam': did you mean name": Guided("channels", changes={"nam": "mnist"}),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_refused(lab: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_plan(lab.study({**SHORT, "model": Model(Staged), "prune": CHANNELS}, branches=[REFUSED[message]]))

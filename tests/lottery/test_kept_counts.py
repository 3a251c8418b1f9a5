"""The units that each layer keeps, as a study states it: numbers, shares, and architectures of the literature."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from lth_ray import models, pruning
from lth_ray.config import ConfigError, Model, Prune
from lth_ray.config.architectures import ARCHITECTURES
from lth_ray.lottery import load_ticket, make_plan
from lth_ray.lottery.mask_rules import pruning_rule
from lth_ray.models import unit_layers
from lth_ray.pruning.structured import of_units
from tests.lottery.test_structured import ALL, SHORT, Residual

VGG = [32, 64, 128, 128, 256, 256, 256, *[256] * 6]


def blocks(depth: int, kept: Callable[[int, int], int]) -> list[int]:
    """The channels of the first convolution of each block, by stage and number."""
    each = (depth - 2) // 6
    return [kept(number // each, number) for number in range(3 * each)]


# layers of the network as it is, of which those of the table are the ones that may lose channels
EXPECTED: dict[str, tuple[str, tuple[int, ...], list[int], str]] = {
    "vgg16_a": ("cifar_vgg16", (3, 32, 32), VGG, ""),
    "vgg16_thinet": ("cifar_vgg16", (3, 32, 32), [32, 32, 64, 64, 128, 128, 128, 256, 256, 256, 512, 512, 512], ""),
    "resnet56_a": (
        "cifar_resnet56", (3, 32, 32),
        blocks(56, lambda stage, i: 16 << stage if i in (7, 9, 18, 26) else (14, 28, 57)[stage]), ".conv1.",
    ),
    "resnet56_b": (
        "cifar_resnet56", (3, 32, 32),
        blocks(56, lambda stage, i: 16 << stage if i in (7, 8, 9, 16, 18, 26) else (6, 22, 57)[stage]), ".conv1.",
    ),
    "resnet110_a": (
        "cifar_resnet110", (3, 32, 32),
        blocks(110, lambda stage, i: 16 << stage if i == 17 or stage else 8), ".conv1.",
    ),
    "resnet110_b": (
        "cifar_resnet110", (3, 32, 32),
        blocks(110, lambda stage, i: 16 << stage if i in (17, 18, 36) else (8, 19, 44)[stage]), ".conv1.",
    ),
    "resnet34_a": (
        "resnet34", (3, 64, 64),
        [64, 44, 44, 128, 89, 89, 128, 256, 179, 179, 179, 179, 256, 512, 512, 512], ".conv1.",
    ),
    "resnet34_b": (
        "resnet34", (3, 64, 64),
        [64, 32, 32, 128, 51, 51, 128, 256, 153, 153, 153, 153, 256, 512, 512, 512], ".conv1.",
    ),
}  # fmt: skip


def test_every_architecture_has_its_numbers_here() -> None:
    assert EXPECTED.keys() == ARCHITECTURES.keys()


LARGE = ("vgg16_thinet", "resnet56_b", "resnet110_a", "resnet110_b", "resnet34_a", "resnet34_b")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in EXPECTED]
)
def test_architectures_of_the_literature(name: str) -> None:
    """By the numbers of their papers and of the code of Liu et al. 2019."""
    network, shape, expected, part = EXPECTED[name]
    with torch.device("meta"):
        model = models.build(network, input_shape=shape)
    layers = unit_layers(model, (torch.zeros(1, *shape),))
    there = {layer.name: torch.ones(layer.size, dtype=torch.bool) for layer in layers}
    rule = pruning_rule(Prune("l1", structure="channels", scope="layer", keep=name))
    counts = pruning.counts_of(rule, there, 1, None)
    assert isinstance(counts, dict)
    left = {one: len(there[one]) - count for one, count in counts.items()}
    assert [number for one, number in left.items() if part in one] == expected
    assert all(counts[one] == 0 for one in left if part not in one)


def kept(lab: Any, **fields: Any) -> tuple[dict[str, int], Any]:
    ran = lab.run(lab.study({**SHORT, "prune": Prune("l1", structure="channels", scope="layer", **fields)}))
    assert not ran.failures
    assert len(ran.tickets) == 2
    ticket = load_ticket(ran.key(1), ran.store.uri)
    layers = [layer for layer in ALL if layer.kind == "channels"]
    return {name: int(units.count_nonzero()) for name, units in of_units(ticket.mask, layers).items()}, ran


def test_numbers_and_shares(lab: Any) -> None:
    assert kept(lab, keep={"stem.weight": 2, "inner*": 0.7})[0] == {"stem.weight": 2, "inner.weight": 5}
    assert kept(lab, keep={"inner*": 8})[0] == {"stem.weight": 6, "inner.weight": 8}


REFUSED = {
    "there are 6": {"keep": {"stem.weight": 7}},
    "glob 'stam.' matches no parameter": {"keep": {"stam*": 2}},
    "matches \\['stem.weight', 'st.'\\]": {"keep": {"stem.weight": 2, "st*": 3}},
    "glob 'layers.0.conv.weight' matches no parameter": {"keep": "vgg16_a"},
}
DECLARED: dict[str, dict[str, Any]] = {
    "Prune.keep = .*: give a whole number": {"keep": {"stem": 0}},
    "Prune.keep = .*: give a number": {"keep": {"stem": 1.5}},
    "Prune.keep = {}: give at least one glob": {"keep": {}},
    "Prune.keep = 'vgg16_b': did you mean": {"keep": "vgg16_b"},
    "Prune.fraction = 0.5: Prune.keep takes its place": {"keep": {"stem": 1}, "fraction": 0.5},
    "Prune.scope = 'global': what each layer keeps needs": {"keep": {"stem": 1}, "scope": "global"},
    "Prune.rounds = 2: what Prune.keep leaves is found in one": {"keep": {"stem": 1}, "rounds": 2},
}


@pytest.mark.parametrize("message", REFUSED)
def test_counts_that_do_not_fit(lab: Any, message: str) -> None:
    rule = Prune("l1", structure="channels", scope="layer", **REFUSED[message])
    with pytest.raises(ConfigError, match=message):
        make_plan(lab.study({"model": Model(Residual), "prune": rule}))


@pytest.mark.parametrize("message", DECLARED)
def test_declarations_that_do_not_fit(message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Prune("l1", **{"structure": "channels", "scope": "layer", **DECLARED[message]})


def test_single_weights_are_kept_by_number_as_well() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    counts = pruning.counts_of(pruning_rule(Prune(scope="layer", keep={"0.*": 5})), pruning.dense_mask(model), 1, None)
    assert counts == {"0.weight": 7, "1.weight": 0}

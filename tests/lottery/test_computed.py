"""Layers whose weight is made of other parameters: the plan names them, and they are pruned where it is said how."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import prune as torch_prune

from lth_ray import models
from lth_ray.config import ConfigError, Model, Prune, set_fields, steps
from lth_ray.lottery import load_ticket, make_plan
from lth_ray.models.flops import forward_flops, uses_of_weights

Wrap = Callable[[nn.Module], nn.Module]
NEW, OLD = nn.utils.parametrizations, nn.utils
ORIGINAL = "a.parametrizations.weight.original"
WRAPS: dict[str, tuple[Wrap, str]] = {
    "weight_norm": (NEW.weight_norm, f"{ORIGINAL}1"),
    "spectral_norm": (NEW.spectral_norm, ORIGINAL),
    "older weight_norm": (OLD.weight_norm, "a.weight_v"),
    "older spectral_norm": (OLD.spectral_norm, "a.weight_orig"),
}
EACH = pytest.mark.parametrize(("wrap", "stand_in"), WRAPS.values(), ids=WRAPS)


class Net(nn.Module):
    def __init__(self, wrap: Wrap, num_classes: int) -> None:
        super().__init__()
        self.a, self.b = wrap(nn.Linear(64, 32)), nn.Linear(32, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.b(self.a(images.flatten(1)).relu())
        return logits


def wrapped(wrap: Wrap) -> Callable[[int], nn.Module]:
    def network(num_classes: int) -> nn.Module:
        return Net(wrap, num_classes)

    return network


@EACH
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_plan_names_them_and_both_remedies(lab: Any, wrap: Wrap, stand_in: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_plan(lab.study(model=Model(wrapped(wrap))))
    told = str(caught.value)
    assert "'a.weight' by" in told
    assert f"Prune(include=['{stand_in}'])" in told
    assert "Prune(exclude=['a.*'])" in told
    left = make_plan(lab.study({"prune.exclude": ["a.*"]}, model=Model(wrapped(wrap))))
    assert left.lineages


@EACH
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_what_stands_for_the_weight_is_pruned(lab: Any, wrap: Wrap, stand_in: str) -> None:
    """A zero there is a zero weight of the trained layer; it is counted, in weights and in operations."""
    prune = Prune(fraction=0.5, rounds=2, include=[stand_in])
    ran = lab.run(lab.study({"train.length": steps(20)}, model=Model(wrapped(wrap), version=stand_in), prune=prune))
    ticket = load_ticket(ran.key(2), ran.store.uri)
    assert set(ticket.mask) == {stand_in, "b.weight"}
    assert ticket.trained_state is not None
    network = Net(wrap, 10)
    network.load_state_dict(ticket.trained_state)
    network.eval()(torch.ones(1, 1, 8, 8))
    weight = network.a.weight
    assert isinstance(weight, torch.Tensor)
    assert torch.equal(weight.detach() != 0, ticket.mask[stand_in])
    assert ran.tickets[2]["remaining_weights"] == (2048 + 320) / 4 / (2048 + 320)
    uses = uses_of_weights(Net(wrap, 10), (torch.zeros(1, 1, 8, 8),))
    assert uses == {stand_in: 1, "b.weight": 1}
    assert forward_flops(network, uses, ticket.mask) == 2 * (2048 + 320) // 4


def test_what_can_only_be_left(lab: Any) -> None:
    model = Model(wrapped(NEW.orthogonal))
    with pytest.raises(ConfigError, match=r"by Orthogonal of .*; Prune\(exclude=\['a.\*'\]\) .* plain weights"):
        make_plan(lab.study(model=model))


def test_a_network_pruned_by_torch_is_named_too(lab: Any) -> None:
    def pruned(num_classes: int) -> nn.Module:
        network = Net(lambda layer: layer, num_classes)
        torch_prune.l1_unstructured(network.a, "weight", 0.5)
        return network

    with pytest.raises(ConfigError, match=r"'a.weight' by torch.nn.utils.prune or"):
        make_plan(lab.study(model=Model(pruned)))


def test_lazy_layers_are_named(lab: Any) -> None:
    def lazy(num_classes: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.LazyLinear(32), nn.ReLU(), nn.Linear(32, num_classes))

    with pytest.raises(ConfigError, match=r"Model.name = .*lazy: 1.weight, 1.bias have no shape .*torch.zeros\(1,"):
        make_plan(lab.study(model=Model(lazy)))

    def called(num_classes: int, input_shape: tuple[int, int, int]) -> nn.Module:
        network = lazy(num_classes)
        network(torch.zeros(1, *input_shape))
        return network

    assert set(models.prunable(models.build(called, input_shape=(1, 8, 8)))) == {"1.weight", "3.weight"}
    assert make_plan(lab.study(model=Model(called))).lineages


def test_nothing_to_prune_says_why(lab: Any) -> None:
    def table(num_classes: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.AdaptiveAvgPool1d(num_classes))

    with pytest.raises(ConfigError, match=r"no convolution and no linear layer, which leaves nothing to prune"):
        make_plan(lab.study(model=Model(table)))
    with pytest.raises(ConfigError, match=r"Prune.exclude = \['\*'\] leaves nothing to prune"):
        make_plan(set_fields(lab.study(), {"prune.exclude": ["*"]}))

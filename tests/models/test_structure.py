"""The structure of a network: own and torchvision's ones by their graphs, and never where that is not certain."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from lth_ray.config import Model
from lth_ray.models import structure
from lth_ray.models.building import build_without_numbers
from lth_ray.models.structure import DROPPING, FULLY_CONNECTED, NORMALISED, OTHER, read, structure_of

IMAGE = (1, 8, 8)


class Own(nn.Module):
    """Two linear layers whose forward pass is given."""

    def __init__(self, forward: Callable[[Any, Tensor], Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.a, self.b, self.given = nn.Linear(64, 20), nn.Linear(20, 10), forward
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.given(self, x)


def sequential(*between: nn.Module, **given: Any) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 20, **given), *between, nn.Linear(20, 10))


def calculated(own: Own, x: Tensor) -> Tensor:
    return own.b(F.relu(own.a(x.view(x.shape[0], x.size(1) * x.size(2) * x.size(3))), inplace=True))  # type: ignore[no-any-return]


def without_gradients(own: Own, x: Tensor) -> Tensor:
    with torch.no_grad():
        x = own.a(x.flatten(1))
    return own.b(x.relu())  # type: ignore[no-any-return]


def drawn(own: Own, x: Tensor) -> Tensor:
    return own.b(torch.relu(own.a(x.flatten(1))) * (1 + int(random.random() < 0)))  # type: ignore[no-any-return]


def counted(own: Own, x: Tensor) -> Tensor:
    own.calls = getattr(own, "calls", 0) + 1
    return own.b(torch.relu(own.a(x.flatten(1))))  # type: ignore[no-any-return]


def reading(own: Own, x: Tensor) -> Tensor:
    return own.b(torch.relu(own.a(x.flatten(1)))) if x.sum() > 0 else x.flatten(1)[:, :10]  # type: ignore[no-any-return]


def with_generator() -> nn.Module:
    own = Own(calculated)
    own.generator = np.random.default_rng(0)  # type: ignore[assignment]
    return own


def tied() -> nn.Module:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    network[3].weight = network[1].weight
    return network


def hooked() -> nn.Module:
    network = sequential(nn.ReLU())
    network[1].register_forward_hook(lambda layer, given, found: found * 2)
    return network


def frozen() -> nn.Module:
    network = sequential(nn.ReLU())
    network[1].weight.requires_grad_(False)
    return network


def dropping(own: Own, x: Tensor) -> Tensor:
    return own.b(F.dropout(own.a(x.flatten(1)).relu(), 0.5, own.training))  # type: ignore[no-any-return]


def dropping_always(own: Own, x: Tensor) -> Tensor:
    return own.b(own.drop.train()(own.a(x.flatten(1)).relu()))  # type: ignore[no-any-return, operator, union-attr]


class NeverDropping(nn.Sequential):
    """A network whose Dropout is off in training too."""

    def train(self, mode: bool = True) -> "NeverDropping":
        super().train(mode)
        self[3].eval()
        return self


def convolutional(*between: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), *between, nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))


NETWORKS: dict[str, tuple[str, Callable[[], nn.Module]]] = {
    "a sequence": (FULLY_CONNECTED, lambda: sequential(nn.ReLU())),
    "in place": (FULLY_CONNECTED, lambda: sequential(nn.ReLU(inplace=True), nn.Identity())),
    "a view": (FULLY_CONNECTED, lambda: Own(lambda own, x: own.b(own.a(x.view(x.size(0), -1)).relu()))),
    "of any number": (FULLY_CONNECTED, lambda: Own(lambda own, x: own.b(torch.relu(own.a(x.reshape(-1, 64)))))),
    "calculated sizes": (FULLY_CONNECTED, lambda: Own(calculated)),
    "a linear one": (FULLY_CONNECTED, lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10))),
    "of columns": (OTHER, lambda: nn.Sequential(nn.Linear(8, 20), nn.ReLU(), nn.Flatten(), nn.Linear(160, 10))),
    "turned images": (OTHER, lambda: Own(lambda own, x: own.b(own.a(x.transpose(2, 3).flatten(1)).relu()))),
    "a residual": (OTHER, lambda: Own(lambda own, x: own.b(own.a(x.flatten(1)).relu() + own.a(x.flatten(1))))),
    "without biases": (FULLY_CONNECTED, lambda: sequential(nn.ReLU(), bias=False)),
    "tanh": (FULLY_CONNECTED, lambda: sequential(nn.Tanh())),
    "called tanh": (FULLY_CONNECTED, lambda: Own(lambda own, x: own.b(torch.tanh(own.a(x.flatten(1)))))),
    "sigmoid": (FULLY_CONNECTED, lambda: sequential(nn.Sigmoid())),
    "a method, sigmoid": (FULLY_CONNECTED, lambda: Own(lambda own, x: own.b(own.a(x.flatten(1)).sigmoid()))),
    "GELU": (FULLY_CONNECTED, lambda: sequential(nn.GELU())),
    "approximate GELU": (FULLY_CONNECTED, lambda: sequential(nn.GELU("tanh"))),
    "tanh and dropout": (DROPPING, lambda: sequential(nn.Tanh(), nn.Dropout(0.5))),
    "no such GELU": (OTHER, lambda: Own(lambda own, x: own.b(F.gelu(own.a(x.flatten(1)), approximate="erf")))),
    "leaky ReLU": (OTHER, lambda: sequential(nn.LeakyReLU())),
    "SiLU": (OTHER, lambda: sequential(nn.SiLU())),
    "ELU": (OTHER, lambda: sequential(nn.ELU())),
    "layer norm": (OTHER, lambda: sequential(nn.LayerNorm(20), nn.ReLU())),
    "nothing between": (OTHER, lambda: sequential()),
    "two activations": (OTHER, lambda: sequential(nn.Tanh(), nn.ReLU())),
    "tanh of pixels": (OTHER, lambda: nn.Sequential(nn.Flatten(), nn.Tanh(), nn.Linear(64, 10))),
    "dropout before tanh": (OTHER, lambda: sequential(nn.Dropout(0.5), nn.Tanh())),
    "a last tanh": (OTHER, lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Tanh())),
    "a last ReLU": (OTHER, lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.ReLU())),
    "a softmax": (OTHER, lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.LogSoftmax(1))),
    "too few outputs": (OTHER, lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 9))),
    "dropout": (DROPPING, lambda: sequential(nn.ReLU(), nn.Dropout(0.5))),
    "dropout of pixels": (DROPPING, lambda: nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, 10))),
    "dropout of images": (OTHER, lambda: nn.Sequential(nn.Dropout(0.2), sequential(nn.ReLU()))),
    "dropout before ReLU": (OTHER, lambda: sequential(nn.Dropout(0.5), nn.ReLU())),
    "dropout twice": (OTHER, lambda: sequential(nn.ReLU(), nn.Dropout(0.5), nn.Dropout(0.5))),
    "dropout of outputs": (OTHER, lambda: nn.Sequential(sequential(nn.ReLU()), nn.Dropout(0.5))),
    "dropout of rows": (OTHER, lambda: sequential(nn.ReLU(), nn.Dropout1d(0.5))),
    "dropout in training": (OTHER, lambda: Own(dropping)),
    "dropout in evaluation too": (OTHER, lambda: Own(dropping_always, drop=nn.Dropout(0.5))),
    "dropout that is turned off": (OTHER, lambda: NeverDropping(*sequential(nn.ReLU(), nn.Dropout(0.5)))),
    "an extra head": (OTHER, lambda: Own(calculated, head=nn.Linear(20, 4))),
    "one layer twice": (OTHER, lambda: nn.Sequential(nn.Flatten(), *[nn.Linear(64, 64)] * 2)),
    "tied weights": (OTHER, tied),
    "frozen weights": (OTHER, frozen),
    "hooks": (OTHER, hooked),
    "without gradients": (OTHER, lambda: Own(without_gradients)),
    "a draw": (OTHER, lambda: Own(drawn)),
    "a generator": (OTHER, with_generator),
    "a count": (OTHER, lambda: Own(counted)),
    "a path by values": (OTHER, lambda: Own(reading)),
    "batch norm": (NORMALISED, lambda: convolutional(nn.BatchNorm2d(4))),
    "batch norm of its own mean": (OTHER, lambda: convolutional(nn.BatchNorm2d(4, momentum=None))),
    "batch norm before another activation": (OTHER, lambda: convolutional(nn.BatchNorm2d(4), nn.SiLU())),
    "no batch norm": (OTHER, convolutional),
}  # fmt: skip


def test_a_chain_says_what_follows_each_layer() -> None:
    hidden = [nn.Tanh(), nn.GELU("tanh"), nn.ReLU(), nn.GELU(), nn.Sigmoid()]
    layers = [layer for activation in hidden for layer in (nn.Linear(64, 64), activation)]
    network = nn.Sequential(nn.Flatten(), *layers, nn.Linear(64, 10))
    found = [link.activation for link in structure.chain(network, fx.symbolic_trace(network))]
    assert found == ["tanh", "gelu_tanh", "relu", "gelu", "sigmoid", None]


@pytest.mark.parametrize("name", NETWORKS)
def test_own_networks_are_read_where_it_is_certain_what_they_do(name: str) -> None:
    expected, make = NETWORKS[name]
    before = random.getstate(), torch.get_rng_state()
    assert structure_of(Model(lambda: make(), version=name), IMAGE, 10) == expected
    assert random.getstate() == before[0] or name == "a draw"
    assert torch.equal(torch.get_rng_state(), before[1])


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu")])
def test_what_a_network_is_made_of_does_not_depend_on_where_it_is_asked(context: Callable[[], Any]) -> None:
    with context():
        found = structure_of(Model(lambda: sequential(nn.ReLU()), version=f"in {context}"), IMAGE, 10)
    assert found == FULLY_CONNECTED


def test_what_cannot_be_built_without_numbers_is_left_to_autograd() -> None:
    def network() -> nn.Module:
        made = sequential(nn.ReLU())
        assert made[1].weight.norm().item() > 0
        return made

    assert structure_of(Model(network, version="1"), IMAGE, 10) == OTHER


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lenet_20_10", FULLY_CONNECTED), ("cifar_resnet8_4", NORMALISED), ("cifar_vgg11_4", NORMALISED),
        ("resnet18", NORMALISED), ("efficientnet_b0", OTHER),
        ("cifar_preresnet29_4", NORMALISED), ("conv2_4", OTHER), ("squeezenet1_1", OTHER),
    ],
)  # fmt: skip
def test_named_networks_are_what_they_are_read_as(name: str, expected: str) -> None:
    shape = (3, 32, 32)
    assert structure_of(Model(name), shape, 10) == expected
    assert read(build_without_numbers(name, 10, shape), shape, 10) == expected


def test_a_network_is_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def network(num_classes: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes))

    calls: list[Any] = []

    def building(*given: Any) -> nn.Module:
        calls.append(given)
        return build_without_numbers(*given)

    monkeypatch.setattr(structure, "build_without_numbers", building)
    for model in (Model(network, version="once"), Model(network, version="once"), Model(network, version="twice")):
        assert structure_of(model, IMAGE, 10) == FULLY_CONNECTED
    assert len(calls) == 2

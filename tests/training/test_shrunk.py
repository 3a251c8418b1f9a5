"""Training of the smaller network: the masked network's trajectory, in the whole network's coordinates."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lth_ray import models, pruning
from lth_ray.config import ConfigError, Train, steps
from lth_ray.models import scales
from lth_ray.models.flops import forward_flops, uses_of_weights
from lth_ray.training import Pause, Start, Team, backend_of
from lth_ray.training.loss import laid_out
from lth_ray.training.shrunk import counted
from tests.models.shrinking.masked import without_units
from tests.training.setups import Setting, everything, half_mask, restart
from tests.training.teams import together

Make = Callable[..., Setting]
EXAMPLE = (torch.zeros(1, 1, 8, 8),)


class Block(nn.Module):
    """A shortcut, a depthwise convolution and dropout."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(width, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6, momentum=0.3)
        self.deep, self.deep_norm = nn.Conv2d(6, 6, 3, padding=1, groups=6), nn.BatchNorm2d(6, momentum=None)
        self.back, self.back_norm = nn.Conv2d(6, width, 1, bias=False), nn.BatchNorm2d(width)
        self.dropout = nn.Dropout(0.2)

    def forward(self, x: Tensor) -> Tensor:
        inner = torch.relu(self.deep_norm(self.deep(torch.relu(self.norm(self.conv(x))))))
        found: Tensor = torch.relu(x + self.back_norm(self.back(self.dropout(inner))))
        return found


class DroppingChannels(Block):
    """A block whose dropout is of whole channels, which draws alike in every layout."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.dropout = nn.Dropout2d(0.2)  # type: ignore[assignment]


class Residual(nn.Module):
    kind = Block

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.blocks = nn.Sequential(self.kind(8), self.kind(8))
        self.hidden, self.output = nn.Linear(8 * 16, 12), nn.Linear(12, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(self.blocks(torch.relu(self.norm(self.stem(images)))), 2)
        logits: Tensor = self.output(torch.relu(self.hidden(x.flatten(1))))
        return logits


class ResidualOfChannels(Residual):
    kind = DroppingChannels


def dropping(num_classes: int) -> nn.Module:
    """Return a fully connected network with dropout of images and of units."""
    layers = [nn.Dropout(0.1), nn.Linear(64, 20), nn.ReLU(), nn.Dropout(0.3), nn.Linear(20, 10), nn.ReLU()]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(10, num_classes))


def curved(num_classes: int) -> nn.Module:
    """Return a fully connected network of activations that the kernels keep slopes of."""
    layers = [nn.Linear(64, 20), nn.Tanh(), nn.Linear(20, 10), nn.GELU()]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(10, num_classes))


class InDouble(Setting):
    """The same in float64, where images are (`in_double`)."""

    def model(self) -> nn.Module:
        return super().model().double()


@pytest.fixture
def in_double(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let networks be given float64."""
    for module in ("lth_ray.training.loop", "lth_ray.training.loss"):
        monkeypatch.setattr(f"{module}.laid_out", lambda inputs, train: laid_out(inputs.double(), train))


def made(setting: Make, mask: str = "units", model: Any = Residual, double: bool = True, **given: Any) -> Setting:
    fields = {"lr": 0.02, "momentum": 0.9, "weight_decay": 1e-2, "backend": "shrunk", "length": steps(100)}
    found = setting(model, masked=False, **{"evaluate_every": steps(50), **fields, **given})
    network = found.model()
    if mask == "units":
        found = replace(found, mask=without_units(network, EXAMPLE, 2))
    elif mask == "units and weights":
        both = half_mask(network)
        units = without_units(network, EXAMPLE, 2)
        found = replace(found, mask={**units, **{n: keeps & units.get(n, keeps) for n, keeps in both.items()}})
    else:
        channels = {
            one.name: torch.arange(network.get_parameter(one.name).numel()) % 2 == 0 for one in scales(network, EXAMPLE)
        }
        parameters = dict(network.named_parameters())
        found = replace(found, mask=pruning.channels.with_members(channels, scales(network, EXAMPLE), parameters))
    if double:
        initial = {n: v.double() if v.is_floating_point() else v for n, v in found.initial.items()}
        found = InDouble(found.recipe, found.dataset, found.mask, initial)
    return found


def masked(found: Setting) -> Setting:
    """The same by the masked network."""
    return replace(found, recipe=replace(found.recipe, train=replace(found.recipe.train, backend="eager")))


def farthest(one: Pause, other: Pause) -> float:
    """The largest difference between all that two segments leave behind, optimizer state and statistics included."""
    apart = [0.0]
    moments = [end.run.optimizer.state_dict()["state"].values() for end in (one, other)]
    models_of = [end.run.model.state_dict() for end in (one, other)]
    for ours, theirs in (models_of, *zip(*moments, strict=True)):
        assert ours.keys() == theirs.keys()
        apart += [float((ours[name].double() - theirs[name].double()).abs().max()) for name in ours]
    return max(apart)


SHORT = {"length": steps(20), "evaluate_every": steps(10)}
CASES: dict[str, dict[str, Any]] = {
    "momentum": {},  # 100 steps
    "columns that read zeros": {"mask": "scales"},
    "columns that read zeros, Adam": {"mask": "scales", "optimizer": "adamw", "lr": 1e-3, "momentum": 0.0, **SHORT},
    "other weights too": {"mask": "units and weights", **SHORT},
    "Adam, clipped": {"optimizer": "adam", "lr": 1e-3, "momentum": 0.0, "clip_norm": 1.0, **SHORT},
    "groups": {"batch_norm_group": 10, "mask": "scales", **SHORT},
    "nesterov, channels last, L1": {"nesterov": True, "channels_last": True, "scale_l1": 1e-3, **SHORT},
    "compiled inside": {"model": "cifar_resnet8_4", "channels_last": True, **SHORT},
    "kernels inside": {"model": "lenet_20_10", **SHORT},
    "dropout of channels": {"model": ResidualOfChannels, "channels_last": True, **SHORT},
    "dropout of units": {"model": dropping, **SHORT},
    "curved activations": {"model": curved, **SHORT},
}


FAST = (
    "momentum", "columns that read zeros, Adam", "groups", "kernels inside", "dropout of channels", "dropout of units",
    "curved activations",
)  # fmt: skip


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize("case", [pytest.param(one, marks=[pytest.mark.slow] * (one not in FAST)) for one in CASES])
def test_the_trajectory_is_that_of_the_masked_network(setting: Make, case: str) -> None:
    found = made(setting, **CASES[case])
    last = found.recipe.total_steps
    ours, theirs = found.trained(found.begin(), last), masked(found).trained(found.begin(), last)
    assert (ours.run.backend, theirs.run.backend) == ("shrunk", "eager")
    assert farthest(ours, theirs) < 1e-9
    assert ours.journal["train_loss"] == pytest.approx(theirs.journal["train_loss"], rel=1e-9)
    assert ours.journal["test_loss"] == pytest.approx(theirs.journal["test_loss"], rel=1e-7)  # kernels sum in float64
    assert ours.journal["test_accuracy"] == theirs.journal["test_accuracy"]
    assert ours.journal["lr"] == theirs.journal["lr"]
    for name, keeps in (found.mask or {}).items():
        assert not ours.run.model.state_dict()[name][~keeps].any()


@pytest.mark.parametrize("case", ["columns that read zeros", "kernels inside"])
def test_a_resumed_training_goes_on_bit_for_bit(setting: Make, case: str) -> None:
    found = made(setting, double=False, **CASES[case] | {"length": steps(12), "evaluate_every": steps(4)})
    straight = found.trained(found.begin(), 12)
    half = restart([*found.pauses(found.begin(), 7)][-1])
    assert everything(found.trained(half, 12, first=0))[:3] == everything(straight)[:3]


def test_workers_train_what_one_would_and_resume_bit_for_bit(setting: Make) -> None:
    found = made(setting, "scales", double=False, batch_size=48, batch_norm_group=12, length=steps(8))
    alone = found.trained(found.begin(), 8)

    def work(team: Team) -> tuple[str, dict[str, Tensor], str]:
        straight = found.trained(found.begin(), 8, team=team)
        half = restart([*found.pauses(found.begin(), 5, team=team)][-1])
        resumed = found.trained(half, 8, first=0, team=team)
        return str(everything(straight)[:3]), straight.run.model.state_dict(), str(everything(resumed)[:3])

    for straight, state, resumed in together(2, work):
        assert straight == resumed
        for name, value in alone.run.model.state_dict().items():
            torch.testing.assert_close(state[name], value, rtol=1e-4, atol=2e-6)


def test_what_has_no_structure_is_trained_as_without_it(setting: Make) -> None:
    found = made(setting, double=False, length=steps(4))
    plain = replace(found, mask=half_mask(found.model()))
    ours, theirs = plain.trained(plain.begin(), 4), masked(plain).trained(plain.begin(), 4)
    assert ours.run.backend == "eager"
    assert everything(ours) == everything(theirs)


def test_operations_are_counted_of_the_smaller_network(setting: Make) -> None:
    """Also where the mask keeps the columns that read what is removed."""
    found = made(setting, "scales", double=False, length=steps(4))
    end = found.trained(found.begin(), 4)
    mask, small = counted(end.run, found.mask), end.run.stepper.inner.model  # type: ignore[attr-defined]
    uses = uses_of_weights(found.model(), EXAMPLE)
    assert forward_flops(found.model(), uses, mask) == forward_flops(small, uses_of_weights(small, EXAMPLE))
    assert forward_flops(found.model(), uses, mask) < forward_flops(found.model(), uses, found.mask)
    plain = masked(found).trained(found.begin(), 4).run
    assert counted(plain, found.mask) is found.mask


def test_the_rule_asks_for_a_mask(setting: Make) -> None:
    recipe = made(setting).recipe
    assert backend_of(recipe, masked=True) == "shrunk"
    assert backend_of(recipe) == "eager"
    assert backend_of(recipe, masked=True, frozen=True) == backend_of(recipe, masked=True, changing=True) == "eager"
    named = replace(recipe, model=replace(recipe.model, name="lenet_20_10"))
    assert backend_of(named) == "fused"


@pytest.mark.parametrize(
    "given", [{"ema_decay": 0.9}, {"replicates": 2}, {"precision": "bfp8"}, {"sync_batch_norm": True}]
)
def test_what_it_is_not_trained_with_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"Train.backend = 'shrunk' with Train.{next(iter(given))} = "):
        Train(steps(10), lr=0.1, backend="shrunk", **given)


@pytest.mark.usefixtures("in_double")
def test_start_without_state_is_where_a_segment_begins(setting: Make) -> None:
    """The evaluation of a segment of no step is the smaller network's."""
    found = made(setting)
    ours, theirs = found.trained(Start(0, found.initial), 0), masked(found).trained(Start(0, found.initial), 0)
    assert ours.journal["test_loss"] == pytest.approx(theirs.journal["test_loss"], rel=1e-9)
    assert models.prunable(ours.run.model).keys() == models.prunable(theirs.run.model).keys()

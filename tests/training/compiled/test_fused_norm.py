"""Networks whose batch norm is compiled: the eager trajectory, bit for bit by itself; and the recipes that have it."""

import struct
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lth_ray import models, pruning
from lth_ray.config import Data, Model, Train, steps
from lth_ray.data import Batches, Identity, Split
from lth_ray.training import Clock, Recipe, Run, backend_of, train
from lth_ray.training.compiled.fused_graph import fuse_norms
from lth_ray.training.compiled.fused_norm import FusedNorm
from lth_ray.training.kernels import library
from tests.doubled import InDouble
from tests.training.compiled.test_fused import SETS, built, farthest
from tests.training.setups import Setting, everything, restart

Make = Callable[..., Setting]
RESNET, VGG = "cifar_resnet8_4", "cifar_vgg11_4"
MORE: dict[str, dict[str, Any]] = {"plain": {}, "groups": {"batch_norm_group": 20}, "average": {"ema_decay": 0.9}}


class Residual(nn.Module):
    """As torchvision and many others write it: layers, and in place what can be."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv, self.norm, self.relu = nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(True)
        self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after))
        self.last = nn.BatchNorm2d(after)

    def forward(self, x: Tensor) -> Tensor:
        out = self.norm(self.conv(x))
        out += self.shortcut(x)
        kept = self.relu(out)
        scaled = kept.mean((2, 3), keepdim=True)
        return torch.add(self.last(kept) + scaled, kept).relu_()


class OwnResNet(nn.Module):
    """One's own: residual blocks, of which one adds what is smaller, dropout, and a linear layer."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(Residual(3, 4), nn.MaxPool2d(2), Residual(4, 6), nn.AdaptiveAvgPool2d(1))
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(6, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(self.blocks(x))
        return found


@built
@pytest.mark.parametrize("name", [RESNET, VGG])
def test_the_network_stays_as_it_is(name: str) -> None:
    model, other = (models.build(name, 10, (3, 16, 16), seed=0) for _ in range(2))
    graph = fuse_norms(model, library.norm_kernels(torch.float32))
    norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert sum(isinstance(layer, FusedNorm) for layer in graph.modules()) == len(norms)
    assert not {"relu", "add"} & {node.name.split("_")[0] for node in graph.graph.nodes}
    assert str(model) == str(other)
    assert list(model.state_dict()) == list(other.state_dict())
    assert {id(p) for p in graph.parameters()} == {id(p) for p in model.parameters()}


@built
@pytest.mark.parametrize("given", [{}, {"batch_norm_group": 6}], ids=["plain", "groups"])
def test_wide_convolutions_have_images_and_weights_in_nchw(given: dict[str, Any]) -> None:
    seen: dict[str, bool] = {}
    run = a_run("cifar_vgg11_66", "auto", dtype=torch.float32, **given)  # 66 to 528 channels
    for name, layer in run.model.named_modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_pre_hook(lambda layer, given, name=name: seen.update({name: _is_last(given[0])}))
    train(run, 1)
    found = [(seen[f"layers.{i}.conv"], _is_last(run.model.get_parameter(f"layers.{i}.conv.weight"))) for i in range(8)]
    assert found[1:] == [(True, True), *[(False, False)] * 6]
    assert all(gradient.stride() == weight.stride() for weight, gradient in run.gradients.views)


def _is_last(tensor: Tensor) -> bool:
    return tensor.is_contiguous(memory_format=torch.channels_last) and not tensor.is_contiguous()


def a_run(name: Any, backend: str, *, masked: bool = True, dtype: torch.dtype = torch.float64, **given: Any) -> Run:
    """Training in `dtype` on random images, in channels_last."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (60, 3, 16, 16), dtype=torch.uint8, generator=generator)
    split = Split(images, torch.randint(0, 10, (60,), generator=generator))
    config = Data("cifar10", batch_size=12, validation=0, augment="crop_flip")
    training = Train(steps(200), backend=backend, channels_last=True, **{"lr": 0.02, "momentum": 0.9, **given})
    recipe = Recipe(Model(name), config, training, Identity("0" * 64, 60, 0, 0, (3, 16, 16), 10))
    model = models.build(name, 10, (3, 16, 16), seed=0).to(dtype).to(memory_format=torch.channels_last)
    dense = pruning.dense_mask(model)
    mask = pruning.prune(pruning.score("random", model, dense, seed=0), dense, 0.6) if masked else None
    if mask is not None:
        pruning.apply_mask(model, mask)
    batches = Batches(split, (0.5,) * 3, (0.25,) * 3, 12, order_seed=1, augmentation_seed=1, augment="crop_flip")
    return Run("key", recipe, model, InDouble(batches) if dtype == torch.float64 else batches, 0, mask, 0)


GIVEN: dict[str, dict[str, Any]] = {
    "momentum": {"weight_decay": 1e-3},
    "groups": {"batch_norm_group": 6},
    "adam": {"optimizer": "adam", "momentum": 0.0, "lr": 1e-3, "eps": 1e-3},
}


@built
@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
@pytest.mark.parametrize("name", [RESNET, VGG, OwnResNet])
def test_30_steps_in_double_precision_are_the_eager_ones(name: Any, given: dict[str, Any]) -> None:
    ours, eager = (a_run(name, backend, **given) for backend in ("auto", "eager"))
    assert (ours.backend, eager.backend) == ("fused_norm", "eager")
    train(ours, 30)
    train(eager, 30)
    assert farthest(ours, eager) < 1e-9
    for one, other in zip(ours.model.buffers(), eager.model.buffers(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@built
def test_a_network_of_torchvision_has_all_its_norms_compiled() -> None:
    """The last block of each of its stages is read by two: the next block's convolution, and its shortcut."""
    graph = fuse_norms(models.build("resnet18", 10, (3, 32, 32), seed=0), library.norm_kernels(torch.float32))
    made = [layer for layer in graph.modules() if isinstance(layer, FusedNorm)]
    assert len(made) == 20
    assert [layer.uses for layer in made].count(2) == 7
    assert not {"relu", "add", "iadd"} & {node.name.split("_")[0] for node in graph.graph.nodes}


@built
@pytest.mark.parametrize("name", SETS)
def test_every_instruction_set_trains(instruction_set: Callable[[str], None], name: str) -> None:
    instruction_set(name)
    ours, eager = (a_run(RESNET, backend, dtype=torch.float32) for backend in ("auto", "eager"))
    for run in (ours, eager):
        train(run, 5)
    for p, q in zip(ours.model.parameters(), eager.model.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-2, atol=1e-3)


def digits(setting: Make, **given: Any) -> Setting:
    return setting(RESNET, **{"channels_last": True, "momentum": 0.9, "weight_decay": 1e-3, **given})


@built
@pytest.mark.parametrize("given", MORE.values(), ids=MORE)
def test_where_it_pauses_changes_no_bit(setting: Make, given: dict[str, Any]) -> None:
    made = digits(setting, **given)
    end = made.trained(made.begin(), 12)
    assert end.run.backend == "fused_norm"
    whole = everything(end)
    saved = [restart(pause) for pause in made.pauses(made.begin(), 12, clock=Clock(every_steps=1))]
    for start in (saved[1], saved[6]):
        assert everything(made.trained(start, 12, first=0)) == whole
    assert everything(made.trained(made.begin(), 12, clock=Clock(every_steps=5))) == whole


@built
def test_pruned_weights_are_positive_zero_and_have_no_momentum(setting: Make) -> None:
    made = digits(setting)
    run = made.trained(made.begin(), 12).run
    parameters = dict(run.model.named_parameters())
    assert made.mask is not None
    for name, kept in made.mask.items():
        assert {struct.pack("<f", value) for value in parameters[name][~kept].tolist()} == {struct.pack("<f", 0.0)}
        assert not run.optimizer.state[parameters[name]]["momentum_buffer"][~kept].any()


@built
@pytest.mark.parametrize("given", MORE.values(), ids=MORE)
def test_measurements_are_those_of_torch(setting: Make, given: dict[str, Any]) -> None:
    rows = []
    for backend in ("auto", "eager"):
        made = digits(setting, backend=backend, lr=0.01, **given)
        rows.append(made.trained(made.begin(), 8).journal)
    for column in ("train_loss", "validation_loss", "test_loss"):
        assert rows[0][column] == pytest.approx(rows[1][column], rel=1e-2)


@built
def test_frozen_weights_stay_where_they_are(setting: Make) -> None:
    made = digits(setting)
    run = made.trained(made.begin(), 8, frozen=True).run
    assert run.backend == "fused_norm"
    assert made.mask is not None
    for name, kept in made.mask.items():
        assert torch.equal(dict(run.model.named_parameters())[name][~kept], made.initial[name][~kept])


def test_without_kernels_it_is_eager(setting: Make, instruction_set: Callable[[str], None]) -> None:
    instruction_set("off")
    made, eager = digits(setting), digits(setting, backend="eager")
    end = made.trained(made.begin(), 4)
    assert end.run.backend == "eager"
    assert everything(end) == everything(eager.trained(eager.begin(), 4))


def recipe_of(model: Any = "cifar_resnet20", **given: Any) -> Recipe:
    identity = Identity("0" * 64, 1000, 0, 100, (3, 32, 32), 10)
    fields = {"lr": 1.0, "channels_last": True, **given}
    return Recipe(Model(model), Data("cifar10", batch_size=60, validation=0), Train(steps(10), **fields), identity)


EAGER: dict[str, dict[str, Any]] = {
    "asked for": {"backend": "eager"},
    "another layout": {"channels_last": False},
    "block floating point": {"precision": "bfp8", "momentum": 0.9},
    "synchronised": {"sync_batch_norm": True},
    "compiled": {"compile": True},
    "an own step": {"step": lambda model, batch: (model(batch[0]).sum(), {})},
    "without batch norm": {"model": "conv2"},
    "an own network that cannot be read": {"model": models.build},
}


@pytest.mark.parametrize("given", EAGER.values(), ids=EAGER)
def test_what_the_kernels_do_not_cover_is_eager(given: dict[str, Any]) -> None:
    assert backend_of(recipe_of(**given)) == "eager"


@pytest.mark.parametrize("model", ["cifar_resnet20", "cifar_vgg19_16", "cifar_preresnet29_4", "resnet18", OwnResNet])
def test_networks_with_batch_norm_have_it_compiled(model: Any) -> None:
    assert backend_of(recipe_of(model)) == "fused_norm"
    assert backend_of(recipe_of(model, batch_norm_group=30, clip_norm=1.0, optimizer="rmsprop")) == "fused_norm"
    assert backend_of(recipe_of(model, precision="bf16")) == "fused_norm"
    assert backend_of(recipe_of(model), frozen=True) == "fused_norm"
    assert backend_of(recipe_of(model), learned=True) == "eager"

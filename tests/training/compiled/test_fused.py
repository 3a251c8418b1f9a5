"""Compiled steps: the eager trajectory up to rounding, on every instruction set, and bit for bit by themselves."""

import os
import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lth_ray import data, models, pruning
from lth_ray.config import Data, Model, Train, steps
from lth_ray.data import Batches
from lth_ray.training import Clock, Recipe, Run, train
from lth_ray.training.compiled.fused import Fused, fuse
from lth_ray.training.kernels import library
from lth_ray.training.loop import Eager
from tests.doubled import InDouble
from tests.training.setups import Mask, Setting, everything, restart
from tests.training.test_resume import OPTIMIZERS

Make = Callable[..., Setting]
CAN = library.instruction_set()
SETS = library.SETS[: library.SETS.index(CAN) + 1] if CAN != "none" else ()
built = pytest.mark.skipif(CAN == "none", reason="the compiled kernels were not built")
UPDATES = ["sgd", "momentum", "nesterov", "adam", "adamw", "weight decay", "label smoothing", "schedule"]
LENET = "lenet_30_20"


def test_what_can_be_built_is_built() -> None:
    """On a machine with a compiler, the kernels are there, and those of the widest vectors that the processor has."""
    if not any(shutil.which(compiler) for compiler in ("c++", "g++", "clang++")):
        pytest.skip("no C++ compiler")
    if library.VARIABLE in os.environ:
        pytest.skip(f"{library.VARIABLE} asks for less than the processor has")
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    flags = next((line for line in lines if line.startswith("flags")), "").split()
    wide = {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= set(flags)
    assert ("avx512" if wide else "avx2" if {"avx2", "fma"} <= set(flags) else "portable") == CAN


def masked(name: Any, density: float) -> tuple[torch.nn.Module, Mask | None]:
    """A network for the digits, and a mask of this density over all its layers; None for 1."""
    model = models.build(name, 10, (1, 8, 8), seed=0)
    dense = pruning.dense_mask(model)
    mask = pruning.prune(pruning.score("random", model, dense, seed=0), dense, 1 - density)
    if density == 1:
        return model, None
    pruning.apply_mask(model, mask)
    return model, mask


def a_run(
    backend: str, density: float, batch: int, dtype: torch.dtype = torch.float64, name: Any = LENET, **given: Any
) -> Run:
    """Training of a network on the digits, in `dtype` throughout."""
    config = Data("digits", batch_size=batch, validation=0)
    dataset, identity = data.load(config), data.identify(config)
    recipe = Recipe(Model(name), config, Train(steps(200), backend=backend, **{"lr": 0.05, **given}), identity)
    model, mask = masked(name, density)
    batches = Batches(dataset.train, dataset.mean, dataset.std, batch, order_seed=1, augmentation_seed=1)
    run = Run("key", recipe, model.to(dtype), InDouble(batches) if dtype == torch.float64 else batches, 0, mask, 0)
    run.stepper = fuse(run) or run.stepper
    return run


def farthest(ours: Run, eager: Run) -> float:
    """The largest difference of any weight, moment or the summed loss."""
    pairs = list(zip(ours.model.parameters(), eager.model.parameters(), strict=True))
    found = [float((p - q).detach().abs().max()) for p, q in pairs]
    for p, q in pairs:
        for name, value in eager.optimizer.state[q].items():
            found.append(float((ours.optimizer.state[p][name] - value).abs().max()))
    return max(*found, float((ours.loss_sum - eager.loss_sum).abs()))


def ends_as_by_autograd(length: int, density: float, batch: int, **given: Any) -> tuple[Fused, Run]:
    """Train in double precision, compiled and by autograd; return the compiled steps, and autograd's run."""
    ours, eager = (a_run(backend, density, batch, **given) for backend in ("auto", "eager"))
    for run in (ours, eager):
        train(run, length)
    assert isinstance(ours.stepper, Fused)
    assert isinstance(eager.stepper, Eager)
    assert farthest(ours, eager) < 1e-9
    return ours.stepper, eager


def agrees_in_both_precisions(density: float, batch: int, **given: Any) -> Fused:
    """Train 20 steps, in float32 as well, and return the compiled ones in double precision."""
    ours, eager = ends_as_by_autograd(20, density, batch, **given)
    single = a_run("auto", density, batch, torch.float32, **given)
    train(single, 20)
    for p, q in zip(single.model.parameters(), eager.model.parameters(), strict=True):
        torch.testing.assert_close(p.detach().double(), q.detach(), rtol=1e-2, atol=2e-4)
    return ours


@built
@pytest.mark.parametrize("density", [1.0, 0.7, 0.33, 0.05, 0.003])
@pytest.mark.parametrize("optimizer", UPDATES)
def test_100_steps_in_double_precision_are_the_eager_ones(optimizer: str, density: float) -> None:
    ends_as_by_autograd(100, density, 60, **OPTIMIZERS[optimizer])


@built
@pytest.mark.parametrize(
    "emptied", [["fc1.weight"], ["fc2.weight"], ["output.weight"], ["fc1.weight", "output.weight"]]
)
def test_a_layer_without_any_weights_left_is_trained_as_by_autograd(emptied: list[str]) -> None:
    """As magnitudes over all layers may leave it: what follows it sees its biases alone."""
    ours, eager = (a_run(backend, 0.3, 60) for backend in ("auto", "eager"))
    for run in (ours, eager):
        run.mask = {name: keeps & (name not in emptied) for name, keeps in (run.mask or {}).items()}
        pruning.apply_mask(run.model, run.mask)
        run.kept = [(run.model.get_parameter(name), keeps.double()) for name, keeps in run.mask.items()]
    ours.stepper = fuse(ours) or ours.stepper
    for run in (ours, eager):
        train(run, 20)
    assert isinstance(ours.stepper, Fused)
    assert farthest(ours, eager) < 1e-9
    assert not any(ours.model.get_parameter(name).any() for name in emptied)


def with_mask(run: Run, mask: Mask) -> Run:
    run.mask = mask
    pruning.apply_mask(run.model, mask)
    run.kept = [(run.model.get_parameter(name), keeps.double()) for name, keeps in mask.items()]
    run.stepper = fuse(run) or run.stepper
    return run


@built
@pytest.mark.parametrize("optimizer", ["nesterov", "adamw", "weight decay"])
@pytest.mark.parametrize("rows", [True, False])
def test_a_mask_that_covers_biases_is_kept_to_as_by_autograd(optimizer: str, rows: bool) -> None:
    """rows: of whole neurons, whose weights go with their biases; else of biases alone, or of all of a layer."""
    ours, eager = (a_run(backend, 0.3, 60, **OPTIMIZERS[optimizer]) for backend in ("auto", "eager"))
    mask = dict(ours.mask or {})
    for layer, units in (("fc1", 30), ("fc2", 20)) if rows else (("fc2", 20), ("output", 10)):
        keeps = torch.arange(units) % 3 > 0
        mask[f"{layer}.bias"] = keeps
        mask[f"{layer}.weight"] = mask[f"{layer}.weight"] & (keeps[:, None] if rows else True)
    if not rows:
        mask["fc1.bias"] = torch.zeros(30, dtype=torch.bool)
    for run in (ours, eager):
        train(with_mask(run, mask), 30)
    assert isinstance(ours.stepper, Fused)
    assert farthest(ours, eager) < 1e-9
    for name, keeps in mask.items():
        parameter = ours.model.get_parameter(name)
        moments = [one for one in ours.optimizer.state[parameter].values() if one.shape == keeps.shape]
        assert not any(one.detach()[~keeps].any() for one in (parameter, *moments))


@built
@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("batch", [1, 7, 16, 33, 64, 130])
@pytest.mark.parametrize("density", [1.0, 0.3])
def test_every_instruction_set_and_batch(
    instruction_set: Callable[[str], None], name: str, batch: int, density: float
) -> None:
    instruction_set(name)
    ours = agrees_in_both_precisions(density, batch, **OPTIMIZERS["adam"])
    assert ours.kernels.instruction_set == name


@built
@pytest.mark.parametrize("density", [1.0, 0.3])
def test_pixels_become_what_torch_makes_of_them(density: float) -> None:
    """Inputs by position in the resident images, and the same inputs made by torch, give the same bits."""
    runs = [a_run("auto", density, 50, torch.float32, **OPTIMIZERS["adam"]) for _ in range(2)]
    assert isinstance(runs[1].batches, Batches)
    runs[1].batches.positions = lambda step, number: None  # type: ignore[method-assign]
    for run in runs:
        train(run, 30)
    ours, made = ([p.detach() for p in run.model.parameters()] for run in runs)
    assert all(torch.equal(p, q) for p, q in zip(ours, made, strict=True))
    assert float(runs[0].loss_sum) == float(runs[1].loss_sum)


def with_density(made: Setting, density: float) -> Setting:
    _, mask = masked(LENET, density)
    return replace(made, mask=mask)


@built
@pytest.mark.parametrize("density", [1.0, 0.6, 0.2])
@pytest.mark.parametrize("optimizer", ["sgd", "nesterov", "adam"])
@pytest.mark.parametrize("augment", ["none", "crop_flip"])
def test_where_it_pauses_changes_no_bit(setting: Make, optimizer: str, density: float, augment: str) -> None:
    made = with_density(setting(LENET, masked=False, augment=augment, **OPTIMIZERS[optimizer]), density)
    whole = everything(made.trained(made.begin(), 12))
    saved = [restart(pause) for pause in made.pauses(made.begin(), 12, clock=Clock(every_steps=1))]
    assert [start.step for start in saved] == list(range(1, 13))
    for start in (saved[1], saved[6]):
        assert everything(made.trained(start, 12, first=0)) == whole
    for every in (1, 5):
        assert everything(made.trained(made.begin(), 12, clock=Clock(every_steps=every))) == whole


@built
@pytest.mark.parametrize("optimizer", UPDATES)
def test_pruned_weights_are_positive_zero_and_have_no_momentum(setting: Make, optimizer: str) -> None:
    made = with_density(setting(LENET, masked=False, **OPTIMIZERS[optimizer]), 0.2)
    assert made.mask is not None
    run = made.trained(made.begin(), 12).run
    assert run.backend == "sparse"
    parameters = dict(run.model.named_parameters())
    for name, kept in made.mask.items():
        assert {struct.pack("<f", value) for value in parameters[name][~kept].tolist()} == {struct.pack("<f", 0.0)}
        for moment in run.optimizer.state[parameters[name]].values():
            assert moment.dim() == 0 or not moment[~kept].any()


@built
@pytest.mark.parametrize("density", [1.0, 0.2])
def test_measurements_are_those_of_torch(setting: Make, density: float) -> None:
    rows = []
    for backend in ("auto", "eager"):
        made = with_density(setting(LENET, masked=False, backend=backend, **OPTIMIZERS["adam"]), density)
        rows.append(made.trained(made.begin(), 12).journal)
    assert rows[0]["step"] == rows[1]["step"] == [4, 8, 12]
    for column in ("train_loss", "validation_loss", "test_loss"):
        assert rows[0][column] == pytest.approx(rows[1][column], rel=1e-3)
    for column in ("validation_accuracy", "test_accuracy"):
        assert rows[0][column] == pytest.approx(rows[1][column], abs=0.011)


@built
def test_a_loss_that_diverges_ends_it(setting: Make) -> None:
    made = setting(LENET, masked=False, lr=1e30)
    assert not made.trained(made.begin(), 12).finite


def own(num_classes: int) -> torch.nn.Module:
    """Return what LENET is, as people write it."""
    hidden = [layer for a, b in ((64, 30), (30, 20)) for layer in (torch.nn.Linear(a, b), torch.nn.ReLU())]
    return torch.nn.Sequential(torch.nn.Flatten(), *hidden, torch.nn.Linear(20, num_classes))


@built
@pytest.mark.parametrize("density", [1.0, 0.2])
def test_an_own_network_has_the_bits_of_the_named_one(density: float) -> None:
    named = a_run("auto", density, 60, torch.float32, **OPTIMIZERS["adam"])
    model, names = own(10), list(dict(named.model.named_parameters()))
    model.load_state_dict(dict(zip(model.state_dict(), named.model.state_dict().values(), strict=True)))
    places = dict(zip(names, dict(model.named_parameters()), strict=True))
    mask = {places[name]: keeps for name, keeps in named.mask.items()} if named.mask else None
    run = Run("key", replace(named.recipe, model=Model(own)), model, named.batches, 0, mask, 0)
    run.stepper = fuse(run) or run.stepper
    for each in (named, run):
        train(each, 30)
    assert run.backend == named.backend == ("fused" if density == 1 else "sparse")
    for p, q in zip(run.model.parameters(), named.model.parameters(), strict=True):
        assert torch.equal(p, q)
        moments = run.optimizer.state[p], named.optimizer.state[q]
        assert all(torch.equal(moments[0][name], moments[1][name]) for name in moments[1])


def without_biases(num_classes: int) -> torch.nn.Module:
    layers = [torch.nn.Linear(64, 37, bias=False), torch.nn.ReLU(), torch.nn.Linear(37, num_classes, bias=False)]
    return torch.nn.Sequential(torch.nn.Flatten(), *layers)


@built
@pytest.mark.parametrize("density", [1.0, 0.7, 0.2])
@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_layers_without_biases_are_trained_as_by_autograd(optimizer: str, density: float) -> None:
    given = {"name": without_biases, **OPTIMIZERS[optimizer]}
    ours, eager = (a_run(backend, density, 60, **given) for backend in ("auto", "eager"))
    assert isinstance(ours.stepper, Fused)
    for run in (ours, eager):
        train(run, 30)
    assert farthest(ours, eager) < 1e-9

"""Compiled steps of networks with other activations than ReLU: autograd's values and slopes, to rounding."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lth_ray import data
from lth_ray.config import Data
from lth_ray.training import Clock, train
from lth_ray.training.compiled.fused import Fused
from lth_ray.training.loop import Eager, evaluate_eagerly
from tests.training.compiled.test_fused import SETS, a_run, agrees_in_both_precisions, built, ends_as_by_autograd
from tests.training.setups import Setting, everything, restart
from tests.training.test_resume import OPTIMIZERS

Network = Callable[[int], nn.Module]


def network(*activations: Callable[[], nn.Module], widths: tuple[int, ...] = (30, 20), dropout: float = 0) -> Network:
    """Return what makes a network of the digits with these activations behind its hidden layers, of these widths."""

    def built_of(num_classes: int) -> nn.Module:
        layers: list[nn.Module] = [nn.Flatten()]
        for inputs, outputs, activation in zip((64, *widths), widths, activations, strict=False):
            layers += [nn.Linear(inputs, outputs), activation(), *([nn.Dropout(dropout)] if dropout else [])]
        return nn.Sequential(*layers, nn.Linear(widths[-1], num_classes))

    return built_of


def gelu_tanh() -> nn.Module:
    return nn.GELU("tanh")


CURVES: dict[str, Callable[[], nn.Module]] = {
    "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "gelu": nn.GELU, "gelu_tanh": gelu_tanh,
}  # fmt: skip
NETWORKS: dict[str, Network] = {
    **{name: network(curve, curve) for name, curve in CURVES.items()},
    **{f"{name} and dropout": network(curve, curve, dropout=0.4) for name, curve in CURVES.items()},
    "mixed": network(nn.GELU, nn.ReLU, nn.Tanh, nn.Sigmoid, gelu_tanh, widths=(37, 33, 16, 21, 40)),
    "mixed and dropout": network(nn.ReLU, nn.Sigmoid, nn.Tanh, widths=(50, 7, 12), dropout=0.3),
    "one wide": network(nn.Tanh, widths=(131,)),
    "one unit": network(nn.GELU, widths=(1,)),
}


@built
@pytest.mark.parametrize("density", [1.0, 0.33, 0.05])
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("name", NETWORKS)
def test_steps_in_double_precision_are_the_eager_ones(name: str, optimizer: str, density: float) -> None:
    ends_as_by_autograd(50, density, 60, name=NETWORKS[name], **OPTIMIZERS[optimizer])


@built
@pytest.mark.parametrize("density", [1.0, 0.3])
@pytest.mark.parametrize("batch", [1, 7, 33, 64, 130])
@pytest.mark.parametrize("name", SETS)
def test_every_instruction_set_and_batch(
    instruction_set: Callable[[str], None], name: str, batch: int, density: float
) -> None:
    instruction_set(name)
    ours = agrees_in_both_precisions(density, batch, name=NETWORKS["mixed"], **OPTIMIZERS["adam"])
    assert ours.kernels.instruction_set == name


@built
@pytest.mark.parametrize("density", [1.0, 0.2])
@pytest.mark.parametrize("name", [*CURVES, "mixed and dropout"])
def test_measurements_are_those_of_torch(name: str, density: float) -> None:
    run = a_run("auto", density, 60, torch.float32, name=NETWORKS[name], **OPTIMIZERS["adam"])
    train(run, 30)
    dataset = data.load(Data("digits", batch_size=60, validation=0))
    [ours], theirs = run.stepper.evaluate(dataset, dataset.test), evaluate_eagerly(run, dataset, dataset.test)
    assert (ours.value, ours.n) == (theirs.value, theirs.n)
    assert ours.loss == pytest.approx(theirs.loss, rel=1e-5)


def points() -> Tensor:
    """Return float numbers at which activations are compared: of all sizes, and where they saturate."""
    small = 2.0 ** torch.arange(-30, 0, 0.25)
    return torch.cat([small, torch.arange(0, 12, 0.003), torch.tensor([20.0, 40.0, 86.0, 100.0, 1000.0])]).float()


def of_kernels(activation: Callable[[], nn.Module], at: Tensor) -> tuple[Tensor, Tensor]:
    """Return an activation's values and slopes at some numbers, read off one step of a network.

    Its first layer has nothing but these as biases, each twice. Its last layer gives 0: where it takes all hidden units
    by 0 the step moves it by their values, where it takes the two of each pair by 1 and -1 biases move by the slopes.
    """
    biases, signs, rate = at.repeat_interleave(2), torch.tensor([1.0, -1.0]).repeat(len(at)), 2.0**60
    moved = []
    for weights in (0 * signs, signs):
        run = a_run("auto", 1.0, 1, torch.float32, name=network(activation, widths=(len(biases),)), lr=rate)
        first, last = run.model[1], run.model[3]  # type: ignore[index]
        label = int(run.batches.batch(0)[1])
        with torch.no_grad():
            first.weight.zero_()
            first.bias.copy_(biases)
            last.weight.zero_()
            last.weight[label] = weights
            last.bias.copy_(-1000.0 * (torch.arange(10) // 2 != label // 2))  # two classes that are as likely
        assert isinstance(run.stepper, Fused)
        train(run, 1)
        moved.append((first.bias if weights.any() else last.weight[label]).detach() * (2 / rate))
    return moved[0][::2], moved[1][::2]


@built
@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("activation", CURVES)
@pytest.mark.parametrize("sign", [1, -1])
def test_values_and_slopes_in_float_are_right_to_rounding(
    instruction_set: Callable[[str], None], name: str, activation: str, sign: int
) -> None:
    instruction_set(name)
    at = sign * points()
    exact = at.double().requires_grad_()
    expected = CURVES[activation]()(exact)
    expected.sum().backward()
    assert exact.grad is not None
    value, slope = (found.double() for found in of_kernels(CURVES[activation], at))
    tiny = "gelu" in activation and sign < 0  # beside what it is given; and PyTorch's own in double precision rounds it
    relative, absolute = (4e-6, 1e-14) if tiny else (5e-7, 1e-37)
    torch.testing.assert_close(value, expected.detach(), rtol=relative, atol=absolute)
    torch.testing.assert_close(slope, exact.grad, rtol=0, atol=3e-7)


@built
@pytest.mark.parametrize("activation", CURVES)
def test_an_activation_of_nan_is_nan(activation: str) -> None:
    for found in of_kernels(CURVES[activation], torch.tensor([math.nan, 1.0])):
        assert found.isnan().all()  # as all that the network learns is


@built
@pytest.mark.parametrize("density", [1.0, 0.2])
def test_where_it_pauses_changes_no_bit(setting: Callable[..., Setting], density: float) -> None:
    made = setting(NETWORKS["mixed and dropout"], masked=density < 1, **OPTIMIZERS["adam"])
    whole = everything(made.trained(made.begin(), 12))
    saved = [restart(pause) for pause in made.pauses(made.begin(), 12, clock=Clock(every_steps=1))]
    for start in (saved[1], saved[6]):
        assert everything(made.trained(start, 12, first=0)) == whole


@pytest.mark.parametrize("activation", [nn.SiLU, nn.LeakyReLU, nn.ELU, nn.Softplus])
def test_other_activations_are_left_to_autograd(activation: Callable[[], nn.Module]) -> None:
    run = a_run("auto", 0.2, 60, torch.float32, name=network(nn.Tanh, activation))
    assert isinstance(run.stepper, Eager)
    assert run.backend == "eager"

"""Compiled batch norm of images in bf16: torch's values rounded once, and training as under autocast."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lth_ray.config import steps
from lth_ray.training import Clock, Run, train
from lth_ray.training.compiled.fused_norm import FusedNorm
from lth_ray.training.kernels import library
from tests.training.compiled.test_fused import SETS
from tests.training.compiled.test_fused_norm import RESNET, VGG, Make, a_run, digits
from tests.training.compiled.test_fused_norm_layer import SHAPES, a_norm, drawn, inputs, outcome, plain
from tests.training.setups import everything, restart

NEAR = 2.0**-8  # of a value: half of what two neighbours of bf16 differ by, at most
needed = pytest.mark.skipif(not library.norm_kernels(torch.float32, True), reason="the compiled kernels were not built")


def fused(norm: nn.BatchNorm2d, **options: Any) -> FusedNorm:
    return FusedNorm(norm, library.norm_kernels(torch.float32, half=True), **options)


def distance(one: Tensor, other: Tensor) -> float:
    """The largest difference, as a share of the largest value."""
    return float((one.double() - other.double()).abs().max() / other.double().abs().max().clamp(min=1e-30))


@needed
@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients_are_those_in_double_precision_rounded(
    instruction_set: Callable[[str], None], name: str, training: bool, shape: tuple[int, ...]
) -> None:
    """Of the same images: values once, gradients once, or twice where those of two readers are added up."""
    instruction_set(name)
    for relu, adds, uses in [(r, a, u) for r in (False, True) for a in (False, True) for u in (1, 2)]:
        ours, theirs = a_norm(shape[1], torch.float32, training), a_norm(shape[1], torch.float32, training).double()
        operation, given = fused(ours, relu=relu, uses=uses), inputs(shape, torch.bfloat16, adds)
        assert operation.kernels[torch.bfloat16].instruction_set == name
        found = outcome(operation, ours, given, uses, torch.bfloat16)
        doubled = [image.double() for image in given]
        expected = outcome(plain(theirs, relu), theirs, doubled, uses, torch.bfloat16)
        assert (found[0].dtype, found[1].dtype, found[2 + adds].dtype) == (
            torch.bfloat16,
            torch.bfloat16,
            torch.float32,
        )
        assert found[0].is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(found[0].double(), expected[0], rtol=NEAR, atol=1e-6)
        for one, other in zip(found[1:], expected[1:], strict=True):
            assert distance(one, other) < (2 * NEAR if one.dtype == torch.bfloat16 else 2e-5)


@needed
@pytest.mark.parametrize("name", SETS)
def test_numbers_are_rounded_as_torch_rounds_them(instruction_set: Callable[[str], None], name: str) -> None:
    instruction_set(name)
    special = [
        float("nan"),
        float("inf"),
        -float("inf"),
        0.0,
        -0.0,
        3.39e38,
        -3.39e38,
        1e-40,
        1.0,
        1.00390625,
        1.01171875,
    ]
    x = torch.cat([torch.tensor(special), drawn((2037,), 1, torch.float32)]).bfloat16().view(-1, 2, 4, 4)
    norm = nn.BatchNorm2d(2, eps=0.0).eval()
    nn.init.constant_(norm.weight, 1.00390625)  # halfway between two neighbours of 1
    found, expected = fused(norm)(x), (x.float() * 1.00390625).bfloat16()
    assert torch.equal(found.isnan(), expected.isnan())
    assert torch.equal(found.nan_to_num(1.0), expected.nan_to_num(1.0))


@needed
def test_what_is_added_in_another_type_has_the_sum_in_that_of_the_norm() -> None:
    x, added = drawn((2, 5, 4, 4), 1, torch.bfloat16), drawn((2, 5, 4, 4), 2, torch.float32)
    found = fused(a_norm(5, torch.float32))(x, added)
    assert found.dtype == torch.float32
    assert FusedNorm(a_norm(5, torch.float32), library.norm_kernels(torch.float32))(x).dtype == torch.bfloat16
    torch.testing.assert_close(found, a_norm(5, torch.float32)(x.float()) + added, rtol=2 * NEAR, atol=2 * NEAR)


def gone(run: Run, model: nn.Module) -> Tensor:
    """The way that its weights have gone from those of `model`."""
    pairs = zip(run.model.parameters(), model.parameters(), strict=True)
    return torch.cat([(p - q).detach().flatten() for p, q in pairs])


@needed
@pytest.mark.parametrize(("name", "most"), [(RESNET, 0.12), (VGG, 0.5)])
def test_a_step_is_nearer_to_that_in_fp32_than_autocast_is(name: str, most: float) -> None:
    """Both round activations to eight bits, autocast more of them; VGG's last norms here have a pixel of twelve images.

    most: the length of the difference as a share of the step.
    """
    given: dict[str, Any] = {"dtype": torch.float32, "lr": 0.01}
    whole = a_run(name, "auto", **given)
    begun = a_run(name, "auto", **given).model
    ours, cast = (a_run(name, backend, precision="bf16", **given) for backend in ("auto", "eager"))
    assert (ours.backend, cast.backend) == ("fused_norm", "eager")
    for run in (whole, ours, cast):
        train(run, 1)
    way = gone(whole, begun)
    off, theirs = (float((gone(run, begun) - way).norm() / way.norm()) for run in (ours, cast))
    assert 0 < off < theirs < most
    assert float(ours.loss_sum) == pytest.approx(float(whole.loss_sum), rel=0.01)


@needed
def test_it_learns_as_fp32_does(setting: Make) -> None:
    """At a rate that falls to zero: at a constant one the accuracy of a step goes with the rounding of a processor."""
    journals, given = [], {"length": steps(200), "evaluate_every": steps(200), "schedule": "cosine"}
    for precision in ("fp32", "bf16"):
        made = digits(setting, lr=0.1, masked=False, precision=precision, **given)
        journals.append(made.trained(made.begin(), 200).journal)
    whole, half = (journal["test_accuracy"][-1] for journal in journals)
    assert whole > 0.8
    assert half == pytest.approx(whole, abs=0.06)


@needed
def test_where_it_pauses_changes_no_bit_and_pruned_weights_are_zero(setting: Make) -> None:
    made = digits(setting, precision="bf16")
    end = made.trained(made.begin(), 8)
    assert end.run.backend == "fused_norm"
    saved = [restart(pause) for pause in made.pauses(made.begin(), 8, clock=Clock(every_steps=1))]
    assert everything(made.trained(saved[3], 8, first=0)) == everything(end)
    parameters = dict(end.run.model.named_parameters())
    assert made.mask is not None
    for name, kept in made.mask.items():
        assert not parameters[name][~kept].any()
        assert not end.run.optimizer.state[parameters[name]]["momentum_buffer"][~kept].any()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_library_of_other_sources_is_refused_and_said(
    setting: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    monkeypatch.setattr(library, "source_digest", lambda *_: "another")
    library.found.cache_clear()
    made = digits(setting, precision=precision)
    assert made.trained(made.begin(), 2).run.backend == "eager"
    assert "was built from other sources" in caplog.text
    library.found.cache_clear()

"""One compiled batch norm, with what follows it: torch's values and gradients on every instruction set."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lth_ray.training.compiled.fused_norm import FusedNorm
from lth_ray.training.kernels import library
from tests.training.compiled.test_fused import SETS, built

SHAPES = [(2, 1, 3, 5), (3, 3, 7, 5), (2, 5, 9, 9), (4, 8, 8, 8), (5, 16, 9, 11), (3, 20, 5, 5), (2, 96, 3, 1)]


def drawn(shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)
    return values.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else values


def a_norm(channels: int, dtype: torch.dtype = torch.float64, training: bool = True) -> nn.BatchNorm2d:
    """One whose parameters and statistics are all different."""
    norm = nn.BatchNorm2d(channels, eps=1e-3, momentum=0.3).to(dtype)
    with torch.no_grad():
        for number, tensor in enumerate((norm.weight, norm.bias, norm.running_mean, norm.running_var)):
            assert tensor is not None
            tensor.copy_(drawn((channels,), number + 10, dtype))
        assert norm.running_var is not None
        norm.running_var.abs_()
    return norm.train(training)


def fused(norm: nn.BatchNorm2d, **options: Any) -> FusedNorm:
    return FusedNorm(norm, library.norm_kernels(norm.weight.dtype), **options)


def plain(norm: nn.BatchNorm2d, relu: bool) -> Callable[..., Tensor]:
    """Return the same by torch: of images, and of what is added to them."""

    def operation(x: Tensor, added: Tensor | float = 0.0) -> Tensor:
        found: Tensor = norm(x) + added
        return torch.relu(found) if relu else found

    return operation


def inputs(shape: tuple[int, ...], dtype: torch.dtype, adds: bool) -> list[Tensor]:
    """Return images, and what is added to them."""
    return [drawn(shape, seed, dtype) for seed in (1, 2)[: 1 + adds]]


def outcome(
    operation: Callable[..., Any], norm: nn.BatchNorm2d, images: list[Tensor], uses: int, dtype: torch.dtype
) -> list[Tensor]:
    """Return what it gives, all gradients and all buffers; with two uses, of a sum in which they differ.

    dtype: of the numbers that are its gradient.
    """
    given = [image.clone().requires_grad_() for image in images]
    found = operation(*given)
    ys = found if isinstance(found, tuple) else (found,) * uses
    torch.autograd.backward(ys, [drawn(tuple(ys[0].shape), 3 + i, dtype).to(ys[0].dtype) for i in range(uses)])
    gradients = [one.grad for one in (*given, norm.weight, norm.bias) if one.grad is not None]
    return [ys[0].detach(), *gradients, *norm.buffers()]


@built
@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients_are_those_of_torch(
    instruction_set: Callable[[str], None], name: str, training: bool, shape: tuple[int, ...]
) -> None:
    instruction_set(name)
    for relu, adds, uses in [(r, a, u) for r in (False, True) for a in (False, True) for u in (1, 2)]:
        ours, theirs = (a_norm(shape[1], training=training) for _ in range(2))
        operation, given = fused(ours, relu=relu, uses=uses), (inputs(shape, torch.float64, adds), uses, torch.float64)
        assert operation.kernels[torch.float64].instruction_set == name
        found, expected = outcome(operation, ours, *given), outcome(plain(theirs, relu), theirs, *given)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
        assert found[0].is_contiguous(memory_format=torch.channels_last)


@built
@pytest.mark.parametrize("adds", [False, True])
def test_gradients_are_those_of_finite_differences(adds: bool) -> None:
    norm = a_norm(3)
    inputs = [drawn((2, 3, 4, 3), seed).requires_grad_() for seed in range(1 + adds)]
    assert torch.autograd.gradcheck(fused(norm, relu=True, uses=2), inputs)  # type: ignore[no-untyped-call]


@built
@pytest.mark.parametrize("name", SETS)
def test_a_mean_far_from_zero_costs_no_precision(instruction_set: Callable[[str], None], name: str) -> None:
    """Deviations are taken from the mean of their own run of pixels, not squares from zero."""
    instruction_set(name)
    x = drawn((64, 16, 8, 8), 1, torch.float32) + 1000
    single = fused(a_norm(16, torch.float32))(x)
    double = a_norm(16)(x.double())
    torch.testing.assert_close(single.double(), double, rtol=1e-3, atol=2e-3)
    centred = fused(a_norm(16, torch.float32))(x - 1000)
    torch.testing.assert_close(single, centred, rtol=1e-3, atol=2e-3)


@built
def test_any_layout_is_taken_and_nan_stays() -> None:
    x = drawn((2, 5, 4, 4), 1)
    assert torch.equal(fused(a_norm(5))(x.contiguous()), fused(a_norm(5))(x))
    x[1, 2, 3, 3] = float("nan")
    found = fused(a_norm(5), relu=True)(x)
    assert found[:, 2].isnan().all()
    assert found[:, 1].isfinite().all()


@built
def test_the_number_of_threads_changes_no_bit() -> None:
    threads, found = torch.get_num_threads(), []
    for number in (1, 2):
        torch.set_num_threads(number)
        norm = a_norm(16, torch.float32)
        images = inputs((16, 16, 16, 16), torch.float32, adds=True)
        found.append(outcome(fused(norm, relu=True, uses=2), norm, images, 2, torch.float32))
    torch.set_num_threads(threads)
    assert all(torch.equal(one, two) for one, two in zip(*found, strict=True))


@built
def test_what_has_no_statistics_is_refused() -> None:
    with pytest.raises(ValueError, match="a channel has one value"):
        fused(a_norm(4))(drawn((1, 4, 1, 1), 0))


@built
@pytest.mark.parametrize("uses", [1, 2])
def test_what_is_added_may_be_of_another_shape(uses: int) -> None:
    x, added = drawn((2, 4, 3, 3), 0), drawn((2, 4, 1, 1), 1)
    found = fused(a_norm(4), relu=True, uses=uses)(x, added)
    for one in found if isinstance(found, tuple) else (found,):
        torch.testing.assert_close(one, torch.relu(a_norm(4)(x) + added), rtol=1e-10, atol=1e-10)

"""Convolutions computed from the weights that are left: autograd's values and gradients under the same mask."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lth_ray import pruning
from lth_ray.training import Run, backend_of, train
from lth_ray.training.compiled import sparse_conv
from lth_ray.training.compiled.sparse_conv import SparseConv, sparse_convolutions
from lth_ray.training.compiled.sparse_linear import Products, SparseLinear, sparse_linear
from lth_ray.training.kernels import library
from tests.training.compiled.test_fused import SETS, farthest
from tests.training.compiled.test_fused_norm import a_run, recipe_of
from tests.training.compiled.test_fused_norm_layer import drawn

needed = pytest.mark.skipif(library.conv_kernels(torch.float64) is None, reason="the compiled kernels were not built")
# images, inputs, outputs, height, width, kernel: tails of images, channels, blocks and chunks
SHAPES = [(16, 16, 16, 8, 16, 3), (19, 21, 18, 5, 7, 3), (17, 16, 35, 4, 20, 1), (33, 18, 16, 6, 4, 5)]


def masked_layer(inputs: int, outputs: int, side: int, density: float) -> tuple[nn.Conv2d, Tensor]:
    layer = nn.Conv2d(inputs, outputs, side, padding=side // 2, bias=False).double()
    layer = layer.to(memory_format=torch.channels_last)
    kept = (drawn((outputs, inputs, side, side), 3).abs() < density * 1.25).double()  # about so many of normal numbers
    with torch.no_grad():
        layer.weight.copy_(drawn(tuple(layer.weight.shape), 4)).mul_(kept)
    return layer, kept


def called(layer: nn.Conv2d, images: Tensor, products: Products | None) -> list[Tensor]:
    inputs = images.clone().requires_grad_()
    layer.zero_grad()
    if products is None:
        found = layer(inputs)
    else:
        with products:
            found = layer(inputs)
    found.backward(drawn(tuple(found.shape), 5))
    assert inputs.grad is not None
    assert layer.weight.grad is not None
    return [found.detach(), inputs.grad, layer.weight.grad]


@needed
@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients_are_those_of_autograd(
    instruction_set: Callable[[str], None], name: str, shape: tuple[int, ...]
) -> None:
    instruction_set(name)
    n, inputs, outputs, height, width, side = shape
    layer, kept = masked_layer(inputs, outputs, side, 0.2)
    layers = sparse_convolutions(nn.Sequential(layer), {id(layer.weight): kept})
    [one] = layers.values()
    assert one.kernels.instruction_set == name
    images = drawn((n, inputs, height, width), 1)
    dense, found = (called(layer, images, products) for products in (None, Products({}, layers)))
    dense[2] *= kept
    for ours, theirs in zip(found, dense, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    assert found[0].is_contiguous(memory_format=torch.channels_last)
    assert found[2].stride() == layer.weight.stride()
    assert (height, width) in one.packed


@needed
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format], ids=str)
def test_weights_and_images_of_either_layout_are_taken(layout: torch.memory_format) -> None:
    layer, kept = masked_layer(16, 20, 3, 0.2)
    layer.weight.data = layer.weight.data.contiguous(memory_format=layout)
    layers = sparse_convolutions(layer, {id(layer.weight): kept})
    images = drawn((16, 16, 8, 8), 1).contiguous(memory_format=layout)
    dense, found = (called(layer, images, products) for products in (None, Products({}, layers)))
    dense[2] *= kept
    for ours, theirs in zip(found, dense, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_what_the_kernels_do_not_know_is_dense() -> None:
    layer, kept = masked_layer(16, 16, 3, 0.2)
    one = SparseConv(None, layer.weight, kept != 0)  # type: ignore[arg-type]
    images = drawn((16, 16, 8, 8), 1)
    known = (images, layer.weight, None, (1, 1), (1, 1), (1, 1), 1)
    assert one.fits(known)
    others: list[tuple[int, Any]] = [(0, images[:8]), (0, images.float()), (0, images[:, :, :3]), (2, images[0, 0, 0])]
    others += [(3, (2, 2)), (4, (0, 0)), (4, "same"), (5, (2, 2)), (6, 2)]
    for place, value in others:
        assert not one.fits((*known[:place], value, *known[place + 1 :])), (place, value)


@needed
def test_layers_with_many_weights_or_few_channels_are_dense() -> None:
    for inputs, side, density, count in ((16, 3, 0.2, 1), (16, 3, 0.5, 0), (8, 3, 0.2, 0), (16, 2, 0.2, 0)):
        layer, kept = masked_layer(inputs, 16, side, density)
        assert len(sparse_convolutions(layer, {id(layer.weight): kept})) == count


def sparse_run(backend: str, density: float = 0.2) -> Run:
    """Training of a ResNet-8 of 16 channels and more, in double precision, under one mask."""
    run = a_run("cifar_resnet8", backend, masked=False)
    dense = pruning.dense_mask(run.model)
    run.mask = pruning.prune(pruning.score("random", run.model, dense, seed=0), dense, 1 - density)
    pruning.apply_mask(run.model, run.mask)
    parameters = dict(run.model.named_parameters())
    run.kept = [(parameters[name], torch.empty_like(parameters[name]).copy_(kept)) for name, kept in run.mask.items()]
    run.stepper = sparse_linear(run) or run.stepper
    return run


@needed
def test_steps_in_double_precision_are_those_of_compiled_norms_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse_conv, "FEWEST_IMAGES", 12)
    ours, dense = sparse_run("sparse"), sparse_run("auto")
    assert (ours.backend, dense.backend) == ("sparse", "fused_norm")
    for run in (ours, dense):
        train(run, 6)
    assert farthest(ours, dense) < 1e-9
    assert isinstance(ours.stepper, SparseLinear)
    assert sum(bool(one.packed) for one in ours.stepper.products.convolutions.values()) == 4  # those of stride 1
    for parameter, kept in ours.kept:
        assert not parameter[kept == 0].any()


@needed
def test_where_nothing_is_sparse_norms_alone_are_compiled() -> None:
    assert sparse_run("sparse", 0.6).backend == "fused_norm"


def test_the_rule_asks_for_a_mask_that_is_held_at_zero() -> None:
    asked = recipe_of(backend="sparse")
    assert backend_of(asked, masked=True) == "sparse"
    assert backend_of(recipe_of(), masked=True) == backend_of(asked) == "fused_norm"
    assert backend_of(asked, masked=True, frozen=True) == "fused_norm"

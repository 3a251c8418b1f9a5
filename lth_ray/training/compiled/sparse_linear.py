"""Steps by autograd in which linear layers with few weights left are computed from these alone; and, in networks whose
batch norms are compiled, convolutions (sparse_conv.py).

The network stays as it is. While it takes a step or is measured, each product with the weight of such a layer is one of
the compiled kernels, which multiplies by the surviving weights; their gradients are those that the dense product would
give, up to rounding, and those of pruned weights are zero. Everything else is done as autograd does it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lth_ray.models.weights import is_linear, is_transposed
from lth_ray.tasks import Evaluation
from lth_ray.tasks.base import Loaded
from lth_ray.training.backends import SPARSE, backend_of
from lth_ray.training.compiled.sparse_conv import Convolution, SparseConv, sparse_convolutions
from lth_ray.training.compiled.survivors import Survivors, survivors_of
from lth_ray.training.kernels import library
from lth_ray.training.loop import Eager, Run
from lth_ray.training.supermask import Supermask

BELOW = 0.4  # a layer with fewer of its weights left is computed from these (docs/speed.md has what was measured)
NARROWEST = 32  # inputs or outputs of a layer that is
FEWEST_ROWS = 32  # of a product's inputs: a kernel's tile takes 64, whether there are so many or not


class SparseLinear(Eager):
    """Steps and evaluations with sparse products."""

    def __init__(self, run: Run, products: "Products") -> None:
        super().__init__(run)
        self.products = products

    @property
    def name(self) -> str:
        return SPARSE

    def advance(self, limit: int) -> int:
        with self.products:
            return super().advance(limit)

    def evaluate(self, dataset: Loaded, split: Any) -> list[Evaluation]:
        with self.products:
            return super().evaluate(dataset, split)


def sparse_linear(run: Run) -> SparseLinear | None:
    """Return sparse steps for a run whose backend is "sparse"; None for another, where no layer is sparse enough, and
    where kernels are not to be had.
    """
    state = {"frozen": run.frozen, "learned": isinstance(run.model, Supermask), "changing": run.regrowth is not None}
    if run.device.type != "cpu" or backend_of(run.recipe, masked=run.mask is not None, **state) != SPARSE:
        return None
    dtype = next(run.model.parameters()).dtype
    found, kept = library.linear_kernels(dtype), {id(one): mask for one, mask in run.kept if one.dtype == dtype}
    layers = {} if found is None else sparse_layers(run.model, kept, found)
    convolutions = {} if run.graph is None else sparse_convolutions(run.model, kept)
    return SparseLinear(run, Products(layers, convolutions)) if layers or convolutions else None


@dataclass(frozen=True)
class Sparse:
    """A weight of which few are left.

    weight: the parameter, which keeps this object's key in `Products` from being another's.
    transposed: it is [inputs, outputs].
    packed: its survivors, as the kernels walk them.
    places: where they lie in the flattened parameter, int64 [kept].
    nothing: a bias of zeros [outputs], where the layer has none.
    """

    kernels: library.LayerKernels
    weight: Tensor
    transposed: bool
    packed: Survivors
    places: Tensor
    nothing: Tensor

    def fits(self, inputs: Any, bias: Tensor | None) -> bool:
        """Return whether the kernels take these inputs [..., inputs], and a bias, which they read as plain memory."""
        outputs, width = self.packed.whole[0].shape
        plain = bias is None or (bias.dtype == self.weight.dtype and bias.shape == (outputs,) and bias.is_contiguous())
        return (
            plain
            and isinstance(inputs, Tensor)
            and inputs.dtype == self.weight.dtype
            and inputs.dim() > 0
            and inputs.shape[-1] == width
            and inputs.numel() >= FEWEST_ROWS * width
        )

    def survivors(self) -> Tensor:
        """Return the present weights, as the kernels walk them."""
        return self.weight.detach().view(-1).index_select(0, self.places)

    def call(self, values: Tensor, bias: Tensor | None) -> library.Layer:
        outputs, inputs = self.packed.whole[0].shape
        sizes = inputs, outputs, self.packed.block, self.packed.blocks
        weights = values.data_ptr(), None, None
        biases = (self.nothing if bias is None else bias).data_ptr(), None, None
        return library.Layer(
            *sizes, *weights, *biases, None, self.packed.begins.data_ptr(), self.packed.columns.data_ptr()
        )


def sparse_layers(
    model: nn.Module, kept: Mapping[int, Tensor], kernels: library.LayerKernels
) -> dict[int, Sparse]:  # fmt: skip
    """Return the weights of linear layers that are to be multiplied as sparse ones, by their id.

    kept: by the same, of each masked weight, not 0 where it is kept.
    """
    found = dict[int, Sparse]()
    for module in model.modules():
        weight = getattr(module, "weight", None) if is_linear(module) else None
        if not isinstance(weight, Tensor) or id(weight) not in kept or not weight.is_contiguous():
            continue
        mask, turned = kept[id(weight)], is_transposed(module)
        as_linear, mask = (weight.detach().t(), mask.t()) if turned else (weight.detach(), mask)
        if min(as_linear.shape) < NARROWEST or not pays(int((mask != 0).sum()), mask.numel()):
            continue
        packed = survivors_of(as_linear, [], mask)
        assert packed is not None, "BELOW is no more than SPARSE_BELOW"
        outputs, inputs = as_linear.shape
        rows, columns = packed.places // inputs, packed.places % inputs
        places = columns * outputs + rows if turned else packed.places
        found[id(weight)] = Sparse(kernels, weight, turned, packed, places, weight.new_zeros(outputs).detach())
    return found


def pays(kept: int, of: int) -> bool:
    """Return whether a layer is computed from its surviving weights: where some are left, and few enough."""
    return 0 < kept < BELOW * of


class Products(TorchFunctionMode):
    """While it is entered, products with some weights are computed from what is left of them."""

    def __init__(self, layers: Mapping[int, Sparse], convolutions: Mapping[int, SparseConv] | None = None) -> None:
        super().__init__()
        self.layers, self.convolutions = layers, convolutions or {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.linear and not kwargs.keys() - {"bias"}:
            inputs, weight, *rest = args if len(args) > 1 else (*args, None)
            layer, bias = self.layers.get(id(weight)), rest[0] if rest else kwargs.get("bias")
            if layer is not None and not layer.transposed and layer.fits(inputs, bias):
                return Product.apply(inputs, weight, bias, layer)
        elif func is torch.addmm and len(args) == 3 and not kwargs:
            bias, inputs, weight = args
            layer = self.layers.get(id(weight))
            if layer is not None and layer.transposed and layer.fits(inputs, bias):
                return Product.apply(inputs, weight, bias, layer)
        elif func is torch.conv2d and len(args) == 7 and not kwargs:  # as nn.Conv2d calls it
            convolution = self.convolutions.get(id(args[1]))
            if convolution is not None and convolution.fits(args):
                return Convolution.apply(*args[:2], convolution)
        return func(*args, **kwargs)


class Product(torch.autograd.Function):
    """Inputs [..., inputs] by a sparse weight, and a bias added: [..., outputs]."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None, layer: Sparse) -> Tensor:
        outputs, width = layer.packed.whole[0].shape
        flat, values = inputs.reshape(-1, width).contiguous(), layer.survivors()
        found = flat.new_empty(len(flat), outputs)
        library.check(layer.kernels.forward(layer.call(values, bias), flat.data_ptr(), len(flat), found.data_ptr()))
        ctx.save_for_backward(flat, values)
        ctx.layer, ctx.shape = layer, inputs.shape
        return found.view(*inputs.shape[:-1], outputs)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor | None, ...]:
        flat, values = ctx.saved_tensors
        layer: Sparse = ctx.layer
        errors = given.reshape(len(flat), -1).contiguous()
        into = torch.empty_like(flat) if ctx.needs_input_grad[0] else None
        of_values = torch.empty_like(values) if ctx.needs_input_grad[1] else None
        library.check(
            layer.kernels.backward(
                layer.call(values, None),
                flat.data_ptr(),
                errors.data_ptr(),
                len(flat),
                None if into is None else into.data_ptr(),
                None if of_values is None else of_values.data_ptr(),
            )
        )
        of_weight = None
        if of_values is not None:
            of_weight = torch.zeros_like(layer.weight)
            of_weight.view(-1)[layer.places] = of_values
        of_bias = errors.sum(0) if ctx.needs_input_grad[2] else None
        return None if into is None else into.view(ctx.shape), of_weight, of_bias, None

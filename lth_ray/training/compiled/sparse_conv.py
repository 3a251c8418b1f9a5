"""Convolutions of which few weights are left, computed from these alone.

As of sparse linear layers, the gradients are those that the dense convolution would give, up to rounding, and those of
pruned weights are zero. A convolution has stride 1, an odd kernel, a border of half of that and no bias; images are in
channels_last.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from lth_ray.training.kernels import library

BELOW = 0.3  # a convolution with fewer of its weights left is computed from these (docs/speed.md has what was measured)
NARROWEST = 16  # inputs or outputs of one that is
SMALLEST = 4  # pixels of a side of its images
CHUNK = 8  # inputs that are gone through at a time: their pixels around a block of outputs stay in the nearest cache
FEWEST_IMAGES = 16  # so many lie side by side, whether there are so many or not


@dataclass(frozen=True)
class Packed:
    """The places of a convolution's survivors, as a kernel walks them on images of one size.

    begins, offsets: as `Walk` of conv.cpp has them.
    places: where they lie in the weight as memory has it, int64 [kept].
    """

    chunks: int
    begins: Tensor
    offsets: Tensor
    places: Tensor

    def walk(self, values: Tensor) -> library.Walk:
        return library.Walk(self.chunks, self.begins.data_ptr(), self.offsets.data_ptr(), values.data_ptr())


@dataclass(frozen=True)
class SparseConv:
    """A convolution's weight [outputs, inputs, height, width] of which few are left.

    weight: the parameter, which keeps this object's key from being another's.
    kept: its mask, bool, of the weight's shape.
    packed: {(height, width) of images: its survivors from inputs to outputs, and back}.
    """

    kernels: library.LayerKernels
    weight: Tensor
    kept: Tensor
    packed: dict[tuple[int, int], tuple[Packed, Packed]] = field(default_factory=dict)

    def fits(self, given: tuple[Any, ...]) -> bool:
        """Return whether the kernels take a call of torch.conv2d: (images, weight, bias, stride, padding, dilation,
        groups).
        """
        images, _, bias, stride, padding, dilation, groups = given
        border = tuple(side // 2 for side in self.weight.shape[2:])
        as_is = (tuple(stride), tuple(padding), tuple(dilation), groups) == ((1, 1), border, (1, 1), 1)
        return (
            as_is
            and bias is None
            and images.dtype == self.weight.dtype
            and images.dim() == 4
            and len(images) >= FEWEST_IMAGES
            and min(images.shape[2:]) >= SMALLEST
        )

    def of(self, height: int, width: int) -> tuple[Packed, Packed]:
        """Return the survivors on images of a size, from inputs to outputs, and back."""
        if (height, width) not in self.packed:
            places = _places(self.weight)
            ahead = packed(self.kept, places, height, width, self.block(width))
            kept, where = (tensor.transpose(0, 1).flip(2, 3) for tensor in (self.kept, places))
            self.packed[height, width] = ahead, packed(kept, where, height, width, self.block(width))
        return self.packed[height, width]

    def block(self, width: int) -> int:
        """Return the pixels of a row that are computed together, in registers: of these AVX-512 has most."""
        most = 16 if self.kernels.instruction_set == "avx512" else 8
        return next((block for block in (16, 8, 4) if block <= most and width % block == 0), 4 if width < 8 else 8)

    def call(self, images: Tensor, ahead: Tensor, back: Tensor) -> library.Conv:
        n, inputs, height, width = images.shape
        outputs, _, *sides = self.weight.shape
        block, (forth, turned) = self.block(width), self.of(height, width)
        border = (side // 2 for side in sides)
        return library.Conv(n, height, width, inputs, outputs, *border, block, forth.walk(ahead), turned.walk(back))


def _places(weight: Tensor) -> Tensor:
    """Return where each weight lies in memory, which is dense in some order of the axes."""
    found = torch.empty_like(weight, dtype=torch.int64)
    found.as_strided((found.numel(),), (1,)).copy_(torch.arange(found.numel()))
    return found


def packed(kept: Tensor, places: Tensor, height: int, width: int, block: int) -> Packed:
    """Return the survivors of a weight [outputs, inputs, h, w] by chunk of inputs, output, input and place in the
    kernel.
    """
    outputs, inputs, *sides = kept.shape
    row = -(-width // block) * block + sides[1] - 1
    plane = row * (height + sides[0] - 1)
    chunks = -(-inputs // CHUNK)
    found = kept.nonzero()
    run = found[:, 1] // CHUNK * outputs + found[:, 0]
    order = torch.argsort(run, stable=True)  # each run is in order of input and place already
    found, run = found[order], run[order]
    output, channel, y, x = found.unbind(1)
    counts = torch.bincount(run, minlength=chunks * outputs)
    begins = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)]).to(torch.int32)
    offsets = (channel * plane + y * row + x).to(torch.int32)
    return Packed(chunks, begins, offsets, places[output, channel, y, x].contiguous())


def sparse_convolutions(model: nn.Module, kept: Mapping[int, Tensor]) -> dict[int, SparseConv]:
    """Return the weights of convolutions that are to be computed as sparse ones, by their id; none without kernels.

    kept: by the same, of each masked weight, not 0 where it is kept.
    """
    found = dict[int, SparseConv]()
    for module in model.modules():
        weight = module.weight if type(module) is nn.Conv2d else None
        if weight is None or id(weight) not in kept or min(weight.shape[:2]) < NARROWEST:
            continue
        mask = kept[id(weight)] != 0
        odd = all(side % 2 for side in weight.shape[2:])
        if odd and 0 < int(mask.sum()) < BELOW * mask.numel():
            kernels = library.conv_kernels(weight.dtype)
            if kernels is None:
                return {}
            found[id(weight)] = SparseConv(kernels, weight, mask)
    return found


class Convolution(torch.autograd.Function):
    """Images [B, inputs, H, W] by a sparse weight: [B, outputs, H, W], in channels_last."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, layer: SparseConv) -> Tensor:
        images = images.contiguous(memory_format=torch.channels_last)
        flat = weight.detach().as_strided((weight.numel(),), (1,))
        forth, turned = layer.of(*images.shape[2:])
        values, back = flat.index_select(0, forth.places), flat.index_select(0, turned.places)
        size = len(images), len(weight), *images.shape[2:]
        found = torch.empty(size, dtype=images.dtype, memory_format=torch.channels_last)
        library.check(layer.kernels.forward(layer.call(images, values, back), images.data_ptr(), found.data_ptr()))
        ctx.save_for_backward(images, values, back)
        ctx.layer = layer
        return found

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor | None, ...]:
        images, values, back = ctx.saved_tensors
        layer: SparseConv = ctx.layer
        errors = given.contiguous(memory_format=torch.channels_last)
        into = torch.empty_like(images) if ctx.needs_input_grad[0] else None
        of_values = torch.empty_like(values) if ctx.needs_input_grad[1] else None
        done = layer.kernels.backward(
            layer.call(images, values, back),
            images.data_ptr(),
            errors.data_ptr(),
            None if into is None else into.data_ptr(),
            None if of_values is None else of_values.data_ptr(),
        )
        library.check(done)
        of_weight = None
        if of_values is not None:
            of_weight = torch.zeros_like(layer.weight)
            of_weight.as_strided((of_weight.numel(),), (1,))[layer.of(*images.shape[2:])[0].places] = of_values
        return into, of_weight, None

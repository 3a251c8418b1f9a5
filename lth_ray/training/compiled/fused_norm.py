"""Batch norm together with the addition and the ReLU after it, by the compiled kernels, for images in channels_last."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lth_ray.training.kernels import library


class FusedNorm(nn.Module):
    """A batch-norm layer of [B, C, H, W], (+ `added` of that shape), ReLU, as one operation: in training and
    in evaluation.

    The layer stays where it is in its network and keeps its parameters and statistics.

    kernels: by the type of the images, as `library.norm_kernels` has them: in bf16 as in the norm's own type it is
        computed in that of the norm, and rounded once.
    uses: 2 gives the result twice, for two readers, whose gradients the kernel then adds up.
    """

    def __init__(
        self, norm: nn.BatchNorm2d, kernels: Mapping[torch.dtype, library.LayerKernels], *, relu: bool = False,
        uses: int = 1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.norm, self.kernels, self.relu, self.uses = norm, kernels, relu, uses

    def forward(self, x: Tensor, added: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        if self.norm.training and x.numel() == x.shape[1]:
            raise ValueError(f"no statistics can be taken of {list(x.shape)}: a channel has one value")
        alike = added is None or (added.shape == x.shape and added.dtype == x.dtype)  # not one for each channel, say
        if x.dtype not in self.kernels or not alike:
            plain = self.norm(x) if added is None else self.norm(x) + added
            spread = torch.relu(plain) if self.relu else plain
            return spread if self.uses == 1 else (spread, spread)
        found: Tensor | tuple[Tensor, Tensor] = _Function.apply(x, added, self.norm.weight, self.norm.bias, self)
        return found


class _Function(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, added: Tensor | None, weight: Tensor, bias: Tensor, fused: FusedNorm
    ) -> Tensor | tuple[Tensor, Tensor]:
        x, added = _laid_out(x), None if added is None else _laid_out(added)
        y, moments = torch.empty_like(x), torch.empty(2, x.shape[1], dtype=torch.float64)
        call, kernels = _call(fused, x), fused.kernels[x.dtype]
        library.check(kernels.forward(call, x.data_ptr(), _address(added), moments.data_ptr(), y.data_ptr()))
        if fused.norm.training and fused.norm.num_batches_tracked is not None:
            fused.norm.num_batches_tracked += 1
        ctx.save_for_backward(x, weight, bias, moments, y if fused.relu and added is not None else None)
        ctx.call, ctx.adds, ctx.backward = call, added is not None, kernels.backward
        ctx.set_materialize_grads(False)
        return y if fused.uses == 1 else (y, y.detach())

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        x, weight, bias, moments, y = ctx.saved_tensors
        given = [_laid_out(gradient) for gradient in gradients if gradient is not None]
        if not given:
            return (None,) * 5
        dx, dw, db = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(bias)
        added = torch.empty_like(x) if ctx.adds else None
        kept = added if ctx.adds else dx if len(given) == 2 else None
        done = ctx.backward(
            ctx.call,
            moments.data_ptr(),
            x.data_ptr(),
            _address(y),
            given[0].data_ptr(),
            _address(*given[1:]),
            _address(kept),
            dx.data_ptr(),
            dw.data_ptr(),
            db.data_ptr(),
        )
        library.check(done)
        return dx, added, dw, db, None


def _call(fused: FusedNorm, x: Tensor) -> library.Norm:
    norm = fused.norm
    tensors = norm.weight, norm.bias, norm.running_mean, norm.running_var
    channels = x.shape[1]
    return library.Norm(
        x.numel() // channels, channels, *map(_address, tensors), norm.eps, norm.momentum, norm.training, fused.relu
    )


def _laid_out(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last)


def _address(tensor: Tensor | None = None) -> int | None:
    return None if tensor is None else tensor.data_ptr()

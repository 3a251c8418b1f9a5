"""Training in block floating point: numbers that share an exponent, stochastically rounded (Yang et al. 2019, SWALP,
algorithm 2; early-bird tickets' low-precision search, You et al. 2020, section 4.3).

A block is a slice of a tensor's first axis: an output channel's weights, an example's activations. Rounded are weights,
gradients and momentum after each step, and behind each convolution and linear layer but the last what flows forward,
the activations, and what flows back, the errors. The arithmetic between is float32's, as in the authors' simulation.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from lth_ray.config import block_bits, subseed
from lth_ray.data import order
from lth_ray.models.weights import is_linear

_FIELDS = {torch.float32: (torch.int32, 23, 127), torch.float64: (torch.int64, 52, 1023)}  # fraction bits, bias


def rounded(values: Tensor, bits: int, draws: Tensor | None = None) -> Tensor:
    """Round each slice of `values` [slices, ...] to block floating point of `bits` bits.

    That is clamp(round(x / s), +-most) s, with s = 2^(floor(log2 max|x|) - (bits - 2)) and most = 2^(bits - 1) - 1.

    draws: numbers in [0, 1), of the same shape: x / s goes up where its fraction is more than that. None: to the
        nearest, ties to even.

    Stochastic rounding is unbiased but for values between most and most + 1, which are cut off. A slice with an
    infinity or a NaN becomes NaN, so that nothing hides that a training diverged.
    """
    axes = tuple(range(1, values.dim()))
    largest = values.abs().amax(axes, keepdim=True) if axes else values.abs()
    unit = _unit(largest, bits)
    ratio = values / unit
    if draws is None:
        whole = ratio.round_()
    else:
        whole = ratio.floor()
        whole += torch.lt(draws, ratio.sub_(whole), out=ratio)
    most = 2 ** (bits - 1) - 1
    return whole.clamp_(-most, most).mul_(unit)


def _unit(largest: Tensor, bits: int) -> Tensor:
    """Put s together from its exponent, exactly; never so small that it is no normal number."""
    whole, fraction, bias = _FIELDS[largest.dtype]
    exponent = torch.frexp(largest).exponent.to(whole) - (bits - 1)  # frexp's fractions are in [1/2, 1)
    unit = ((exponent.clamp(min=1 - bias) + bias) << fraction).view(largest.dtype)
    return torch.where(largest.isfinite(), unit, torch.nan)


def rounding_draws(seed: int, n: int, device: torch.device) -> Tensor:
    """Draw n numbers of 24 bits in [0, 1), float32 [n].

    On a CPU number i depends on (seed, i) alone; on a GPU its own counter-based generator
    draws them, and its kind counts too.
    """
    if device.type == "cuda":
        return torch.rand(n, generator=torch.Generator(device).manual_seed(seed), device=device)
    words = order.draws(seed, 0, (n + 1) // 2, order.ROUNDING).view(np.uint32)[:n]
    words >>= 8
    return torch.from_numpy(words.astype(np.float32)).mul_(2.0**-24).to(device)


@dataclass
class Stream:
    """The draws of one step, or of one group of its batch; those of each tensor are its own.

    place: (step,) or (step, group). calls: how often each layer was called so far.
    """

    seed: int
    place: tuple[int, ...]
    calls: Counter[str] = field(default_factory=Counter)

    def rounded(self, values: Tensor, bits: int, name: str) -> Tensor:
        drawn = rounding_draws(subseed(self.seed, "rounding", *self.place, name), values.numel(), values.device)
        return rounded(values, bits, drawn.view(values.shape))

    def called(self, name: str) -> str:
        """Name this call of a layer."""
        self.calls[name] += 1
        return f"{name}:{self.calls[name]}"


class BlockFloat:
    """A run's numbers of `bits` bits. seed: of all rounding."""

    def __init__(self, model: nn.Module, bits: int, seed: int) -> None:
        self.bits, self.seed, self.layers = bits, seed, rounded_layers(model)
        self.parameters = [(name, p) for name, p in model.named_parameters() if p.requires_grad]

    @contextmanager
    def forward(self, step: int, group: int) -> Iterator[None]:
        """Let the network's layers round what they give, and later the errors that come back to them."""
        stream = Stream(self.seed, (step, group))

        def after(name: str, _: nn.Module, __: Any, output: Tensor) -> Tensor:
            found: Tensor = _Rounded.apply(output, self.bits, stream, stream.called(name))
            return found

        with _hooked(self.layers, after):
            yield

    @torch.no_grad()
    def round_gradients(self, step: int) -> None:
        """Round them before the optimizer sees them."""
        stream = Stream(self.seed, (step,))
        for name, parameter in self.parameters:
            if parameter.grad is not None:
                parameter.grad.copy_(stream.rounded(parameter.grad, self.bits, f"{name} gradient"))

    @torch.no_grad()
    def round_weights(self, step: int, optimizer: torch.optim.Optimizer) -> None:
        """Round weights and momentum after the optimizer's step."""
        stream = Stream(self.seed, (step,))
        for name, parameter in self.parameters:
            parameter.copy_(stream.rounded(parameter, self.bits, f"{name} weight"))
            for kind, value in optimizer.state.get(parameter, {}).items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    value.copy_(stream.rounded(value, self.bits, f"{name} {kind}"))


def block_float(model: nn.Module, precision: str, seed: int) -> BlockFloat | None:
    """Make what rounds a run's numbers; None where its precision is no block floating point."""
    bits = block_bits(precision)
    return None if bits is None else BlockFloat(model, bits, seed)


@contextmanager
def measured_in(precision: str, model: nn.Module) -> Iterator[None]:
    """Let layers round what they give to the nearest, where `precision` is block floating point: a measurement draws
    nothing."""
    bits = block_bits(precision) or 0

    def after(_: str, __: nn.Module, ___: Any, output: Tensor) -> Tensor:
        return rounded(output, bits)

    with _hooked(rounded_layers(model) if bits else [], after):
        yield


def rounded_layers(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """List the convolutions and linear layers of a network but the last, in the order in which it holds them."""
    found: list[tuple[str, nn.Module]] = []
    found += [(name, layer) for name, layer in model.named_modules() if isinstance(layer, _ConvNd) or is_linear(layer)]
    return found[:-1]


@contextmanager
def _hooked(layers: Sequence[tuple[str, nn.Module]], after: Any) -> Iterator[None]:
    hooks = [layer.register_forward_hook(partial(after, name)) for name, layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class _Rounded(torch.autograd.Function):
    """Round an activation on its way forward, and its error on its way back."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, bits: int, stream: Stream, name: str) -> Tensor:
        ctx.how = bits, stream, name
        return stream.rounded(values, bits, f"{name} activation")

    @staticmethod
    def backward(ctx: Any, error: Tensor) -> tuple[Tensor, None, None, None]:
        bits, stream, name = ctx.how
        return stream.rounded(error, bits, f"{name} error"), None, None, None

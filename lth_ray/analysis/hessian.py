"""The curvature of the loss where a network is: the largest eigenvalues of its Hessian, and the trace.

The Hessian, [n, n] for n weights, is never held: it only multiplies vectors, by two backward passes (Pearlmutter 1994).
Lanczos' method finds its largest eigenvalues, Hutchinson's estimate its trace, as in Yao et al. 2020 ("PyHessian").
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.linalg import eigh_tridiagonal
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from lth_ray.analysis.states import Tensors, require_same
from lth_ray.config import ConfigError
from lth_ray.data.order import normal, uniform
from lth_ray.models.tied import evaluating

Batch = tuple[Tensor, ...]
Loss = Callable[[nn.Module, Batch], tuple[Any, ...]]  # the batch's mean first
NEGLIGIBLE = 1e-10  # of a vector's length, what is left of it but rounding


def _cross_entropy(model: nn.Module, batch: Batch) -> tuple[Tensor]:
    """Return the mean cross entropy of (inputs, labels)."""
    return (F.cross_entropy(model(batch[0]), batch[1]),)


@dataclass(frozen=True)
class Hessian:
    """The Hessian of the mean loss over batches in the weights that a mask keeps; others are held where they are.

    model: with the weights at which it is taken; in evaluation mode meanwhile, so that running statistics of batch
        norm are those that it has, and there is no dropout.
    mask: {parameter: bool}, True counts.
    batches: examples on the model's device; a batch counts by its number of examples.
    loss: (model, batch) -> (mean loss, ...); None: the cross entropy of (inputs, labels).
    Errors: ConfigError for a mask of another network, one that keeps nothing, and a loss without derivatives.
    """

    model: nn.Module
    mask: Tensors
    batches: Sequence[Batch]
    loss: Loss | None = None

    def __post_init__(self) -> None:
        parameters = dict(self.model.named_parameters())
        require_same(
            {name: parameters[name] for name in self.mask if name in parameters}, self.mask, ("the model", "the mask")
        )
        if not self.size:
            raise ConfigError("mask: it keeps no weight in which there could be a Hessian")
        if not self.batches:
            raise ConfigError("batches: there is none to take the loss of; give at least one")

    @cached_property
    def size(self) -> int:
        """n, the weights that are kept."""
        return sum(int(keeps.sum()) for keeps in self.mask.values())

    @cached_property
    def _weights(self) -> list[nn.Parameter]:
        parameters = dict(self.model.named_parameters())
        return [parameters[name] for name in self.mask]

    @property
    def like(self) -> Tensor:
        """A weight, whose precision and device vectors have."""
        return self._weights[0]

    def times(self, vector: Tensor) -> Tensor:
        """Return the Hessian times a vector [n]: kept weights in the mask's order, those of a parameter as they lie."""
        directions = self._spread(vector)
        examples = sum(len(batch[0]) for batch in self.batches)
        total = torch.zeros_like(vector)
        for batch in self.batches:
            with _twice_derivable(self.model, self._weights):
                products = self._products(batch, directions)
            total.add_(self._kept(products), alpha=len(batch[0]) / examples)
        return total

    def _products(self, batch: Batch, directions: list[Tensor]) -> Sequence[Tensor]:
        loss = (self.loss or _cross_entropy)(self.model, batch)[0]
        if not loss.requires_grad:
            raise ConfigError("the loss does not depend on these weights by operations that have a gradient")
        try:
            gradients = torch.autograd.grad(loss, self._weights, create_graph=True, materialize_grads=True)
            along = torch.stack([(g * v).sum() for g, v in zip(gradients, directions, strict=True)]).sum()
            if not along.requires_grad:  # a loss that is linear in the weights
                return [torch.zeros_like(weight) for weight in self._weights]
            return torch.autograd.grad(along, self._weights, materialize_grads=True)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise ConfigError(f"a second derivative of the loss cannot be taken: {error}") from error

    def _spread(self, vector: Tensor) -> list[Tensor]:
        """Return a vector as tensors of the parameters' shapes, 0 where weights are pruned."""
        parts = vector.split([int(keeps.sum()) for keeps in self.mask.values()])
        return [
            torch.zeros_like(weight).masked_scatter_(keeps.to(weight.device), part)
            for weight, keeps, part in zip(self._weights, self.mask.values(), parts, strict=True)
        ]

    def _kept(self, tensors: Sequence[Tensor]) -> Tensor:
        found = [one[keeps.to(one.device)] for one, keeps in zip(tensors, self.mask.values(), strict=True)]
        return torch.cat(found).detach()


@contextmanager
def _twice_derivable(model: nn.Module, weights: Sequence[nn.Parameter]) -> Iterator[None]:
    """Let a network compute by operations that have second derivatives, and its weights have gradients."""
    recurrent = any(isinstance(module, nn.RNNBase) for module in model.modules())  # whose fused kernels have but one
    asked = [weight.requires_grad for weight in weights]
    with (
        evaluating(model),
        torch.enable_grad(),
        sdpa_kernel(SDPBackend.MATH),
        torch.backends.cudnn.flags(enabled=False) if recurrent else nullcontext(),
    ):
        try:
            for weight in weights:
                weight.requires_grad_(True)
            yield
        finally:
            for weight, was in zip(weights, asked, strict=True):
                weight.requires_grad_(was)


@dataclass(frozen=True)
class Eigenvalues:
    """The largest eigenvalues, the largest first.

    residuals: |H x - value x| of each, for its unit vector x: an eigenvalue is no farther from the value than this.
    iterations: multiplications that were taken.
    """

    values: tuple[float, ...]
    residuals: tuple[float, ...]
    iterations: int


def largest_eigenvalues(
    hessian: Hessian, count: int = 1, iterations: int = 100, tolerance: float = 1e-3, seed: int = 0
) -> Eigenvalues:
    """Return the largest eigenvalues (most positive, not greatest in size), by Lanczos' method with full
    reorthogonalisation.

    iterations: multiplications at most; a vector of each is held.
    tolerance: of residuals, as a share of the largest eigenvalue in size, at which it ends.
    seed: of the first vector. An eigenvalue is found once, however many vectors it has.
    """
    count, most = min(count, hessian.size), min(iterations, hessian.size)
    basis = [_unit(hessian, seed, 0, [])]
    diagonal: list[float] = []
    beside: list[float] = []
    while True:
        product = hessian.times(basis[-1])
        diagonal.append(float(product @ basis[-1]))
        left = _orthogonal(product, basis)
        beta = float(left.norm())
        if not math.isfinite(beta) or not math.isfinite(diagonal[-1]):
            return Eigenvalues((math.nan,) * count, (math.nan,) * count, len(diagonal))
        values, vectors = eigh_tridiagonal(np.array(diagonal), np.array(beside))
        values, last = values[::-1][:count], np.abs(vectors[-1, ::-1][:count])
        scale = float(np.abs([diagonal]).max() + beta) if len(diagonal) == 1 else float(np.abs(values).max())
        is_settled = len(values) == count and bool((beta * last <= tolerance * scale).all())
        if len(diagonal) >= most or is_settled:
            return Eigenvalues(tuple(map(float, values)), tuple(map(float, beta * last)), len(diagonal))
        if beta <= NEGLIGIBLE * float(product.norm() + abs(diagonal[-1])):  # all that this vector leads to is found
            beside.append(0.0)
            basis.append(_unit(hessian, seed, len(diagonal), basis))
        else:
            beside.append(beta)
            basis.append(left / beta)


def _unit(hessian: Hessian, seed: int, number: int, basis: Sequence[Tensor]) -> Tensor:
    """Return a drawn vector of length 1 at right angles to those there are."""
    drawn = normal(seed, f"lanczos/{number}", hessian.size).to(hessian.like)
    left = _orthogonal(drawn, basis)
    unit: Tensor = left / left.norm()
    return unit


def _orthogonal(vector: Tensor, basis: Sequence[Tensor]) -> Tensor:
    """Return what is left of a vector outside the span of a basis; twice, since once leaves rounding in it."""
    for _ in range(2):
        for one in basis:
            vector = vector - (vector @ one) * one
    return vector


@dataclass(frozen=True)
class Trace:
    """An estimate of the trace, and its standard error over the vectors it was made from (NaN for one)."""

    value: float
    error: float


def trace(hessian: Hessian, vectors: int = 30, seed: int = 0) -> Trace:
    """Return Hutchinson's estimate of the sum of all eigenvalues: the mean of z H z over vectors z of random signs."""
    found = []
    for number in range(vectors):
        signs = 1.0 - 2.0 * (uniform(seed, f"hutchinson/{number}", hessian.size) < 0.5)
        z = signs.to(hessian.like)
        found.append(float(z @ hessian.times(z)))
    error = float(np.std(found, ddof=1)) / math.sqrt(vectors) if vectors > 1 else math.nan
    return Trace(math.fsum(found) / vectors, error)

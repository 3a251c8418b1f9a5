"""Criteria by derivatives of the loss: its gradient g (Lee et al. 2019, "SNIP"; Zhou et al. 2019), and the Hessian
times that (Wang et al. 2020, "GraSP")."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_map

from lth_ray.config import ConfigError
from lth_ray.models import functional
from lth_ray.models.tied import evaluating
from lth_ray.pruning.evidence import Batch, Evidence, Loss, NoGradient, alike, masked

Tensors = dict[str, torch.Tensor]

TEMPERATURE = 200.0  # logits are divided by it for GraSP (Wang et al. 2020, the authors' code)


def snip(evidence: Evidence) -> Tensors:
    """Score by |g w|, which is |dL/dm| of the mask m."""
    weights, gradients = weights_and_gradients(evidence)
    return {name: (gradients[name] * weight).abs() for name, weight in weights.items()}


def grad(evidence: Evidence) -> Tensors:
    """Score by |g|."""
    return {name: gradient.abs() for name, gradient in weights_and_gradients(evidence)[1].items()}


def grasp(evidence: Evidence) -> Tensors:
    """Score by w Hg, H the Hessian and g the gradient of the loss over the weights that remain.

    The authors remove the highest of -w Hg, the weights whose removal lowers |g|^2 least. Logits are divided by
    200, as they do.
    """
    with _divided_outputs(evidence.model, TEMPERATURE), sdpa_kernel(SDPBackend.MATH):  # others derive once alone
        weights, gradients = weights_and_gradients(evidence)
        along = {name: masked(gradient, evidence.mask[name]) for name, gradient in gradients.items()}
        _, products = _derivatives(evidence, lambda loss, leaves: _directional(loss, leaves, along))
    return {name: products[name] * weight for name, weight in weights.items()}


def grasp_abs(evidence: Evidence) -> Tensors:
    """Score by |w Hg| (Frankle et al. 2021, section 5)."""
    return {name: score.abs() for name, score in grasp(evidence).items()}


Scalar = Callable[[torch.Tensor, list[nn.Parameter]], torch.Tensor]  # (a batch's mean loss, weights) -> what is derived


def weights_and_gradients(evidence: Evidence) -> tuple[Tensors, Tensors]:
    """Return (masked weights, gradients of the mean loss there), for the parameters that the mask covers."""
    return _derivatives(evidence, lambda loss, _: loss)


def _directional(loss: torch.Tensor, leaves: list[nn.Parameter], along: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return the derivative of the loss along fixed directions: its gradient is the Hessian times them."""
    gradients = torch.autograd.grad(loss, leaves, create_graph=True, materialize_grads=True)
    return torch.stack([(g * v).sum() for g, v in zip(gradients, along.values(), strict=True)]).sum()


def _derivatives(evidence: Evidence, scalar: Scalar) -> tuple[Tensors, Tensors]:
    """Return (masked weights, the gradients there of a scalar of the loss, averaged over the batches).

    At `initial` where that is given, else at the model's own weights. Without dropout; in mode "train" with batch
    statistics in batch norms, as the first step of training has them: the running ones are those of no network yet.
    """
    if evidence.batches is None:
        raise ConfigError("batch = None: give (inputs, labels)")
    state = _start(evidence)
    weights = {name: masked(state[name], evidence.mask[name]) for name in evidence.weights()}
    leaves = {name: nn.Parameter(weight) for name, weight in weights.items()}  # which a loss may ask for by name
    device = next(iter(leaves.values())).device
    call = functional(_Loss(evidence.model, evidence.loss or _cross_entropy))
    given = {f"model.{name}": value for name, value in (state | leaves).items()}
    total: list[torch.Tensor] = []
    for batch in evidence.batches:
        norms = [module for module in evidence.model.modules() if isinstance(module, _BatchNorm)]
        with evaluating(evidence.model, norms if evidence.mode == "train" else ()), torch.enable_grad():
            loss: torch.Tensor = call(given, tuple(tensor.to(device) for tensor in batch))
            found = _derived(loss, list(leaves.values()), scalar)
        total = [a + b for a, b in zip(total, found, strict=True)] if total else list(found)
    mean = [gradient / len(evidence.batches) for gradient in total] if len(evidence.batches) > 1 else total
    return {name: weight.detach() for name, weight in weights.items()}, dict(zip(leaves, mean, strict=True))


def _derived(loss: torch.Tensor, leaves: list[nn.Parameter], scalar: Scalar) -> tuple[torch.Tensor, ...]:
    if not loss.requires_grad:
        raise NoGradient(
            "the loss does not depend on the weights by operations that have a gradient (it is made of a detached "
            "tensor, an argmax, or of other parameters than may be pruned); mend the network or the loss, or give "
            "another criterion"
        )
    try:
        value = scalar(loss, leaves)
        if not value.requires_grad:  # a loss that is linear in the weights: the Hessian is zero
            return tuple(torch.zeros_like(leaf) for leaf in leaves)
        return torch.autograd.grad(value, leaves, materialize_grads=True)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise NoGradient(f"a derivative of the loss cannot be taken: {error}; give another criterion") from error


class _Loss(nn.Module):
    """A network and its loss as one module, so that a loss which looks at weights sees those it is called with."""

    def __init__(self, model: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, *batch: torch.Tensor) -> torch.Tensor:
        return self.loss(self.model, batch)[0]


def _cross_entropy(model: nn.Module, batch: Batch) -> tuple[torch.Tensor, Any]:
    outputs = model(batch[0])
    return F.cross_entropy(outputs if outputs.dtype == torch.float64 else outputs.float(), batch[1]), None


def _start(evidence: Evidence) -> Tensors:
    """Return all parameters and buffers; buffers are copies, since a forward pass writes to those of a batch
    norm.
    """
    model, initial = evidence.model, evidence.initial
    stored = model.state_dict().keys()  # a buffer that is not persistent has no initial value
    state = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    if initial is not None:
        state = {n: alike("initial", initial, n, value) if n in stored else value for n, value in state.items()}
    buffers = dict(model.named_buffers())
    return {
        name: value.detach().clone() if name in buffers else nn.Parameter(value.detach(), requires_grad=False)
        for name, value in state.items()
    }


@contextmanager
def _divided_outputs(model: nn.Module, by: float) -> Iterator[None]:
    """Divide the outputs that whatever calls the network gets."""

    def divided(value: Any) -> Any:
        return value / by if isinstance(value, torch.Tensor) and value.is_floating_point() else value

    hook = model.register_forward_hook(lambda module, inputs, outputs: tree_map(divided, outputs))
    try:
        yield
    finally:
        hook.remove()

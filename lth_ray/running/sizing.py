"""The size of a study on a cluster, without training a step: operations, memory of a device, time at assumed rates.

Operations are those that dense matrices take, as training with masks does; memory is that of tensors on the meta
device. Neither has been compared with a GPU: nothing of lth_ray has run on one.
"""

from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from math import ceil, prod
from typing import Any

import torch
from torch import Tensor, nn

from lth_ray.lottery import Plan, Training
from lth_ray.lottery.execution.networks import build
from lth_ray.models.flops import TRAINING, forward_flops, uses_of_weights
from lth_ray.running.timing import pace_of
from lth_ray.training import Recipe

OPTIMIZER_COPIES = {"sgd": 1, "adam": 2, "adamw": 2}  # of the weights; others are taken to keep two
FLOAT = 4  # bytes
CUDA_BYTES = 1.0e9  # assumed: a context, cuDNN's and cuBLAS' work space
BF16 = 0.5  # of the activations of float32, under autocast


@dataclass(frozen=True)
class Device:
    """A kind of device, with the rates that are assumed of it.

    flops, bf16_flops: operations a second that training is taken to reach, in float32 and in bfloat16.
    least_step_s: what a step takes at least, however small the network: its launches.
    """

    name: str
    flops: float
    bf16_flops: float
    least_step_s: float = 0.0

    def seconds(self, flops: float, precision: str) -> float:
        """Return the time of a step of so many operations."""
        return max(self.least_step_s, flops / (self.bf16_flops if precision == "bf16" else self.flops))


# A core reaches what the gallery's convolutional networks were timed at on AMD EPYC. Of GPUs nothing was timed: the
# rates are about a tenth of the dense peak that their maker states (TF32, bfloat16), as residual networks in PyTorch
# are commonly seen to reach, and a step has some two hundred launches of 10 us.
CORE = Device("core", 2.0e10, 2.0e10)
A100 = Device("A100", 15e12, 40e12, 2e-3)
H100 = Device("H100", 40e12, 100e12, 2e-3)
DEVICES = (CORE, A100, H100)


@dataclass(frozen=True)
class Sized:
    """A recipe, sized."""

    recipe: Recipe

    @cached_property
    def network(self) -> nn.Module:
        return build(self.recipe, seed=0)

    @cached_property
    def step_flops(self) -> float:
        """The operations of a step: three times those of the forward passes of its batch."""
        uses = uses_of_weights(self.network, self.recipe.task.example(self.recipe.identity))
        return TRAINING * forward_flops(self.network, uses) * self.recipe.examples_a_step

    @cached_property
    def state_bytes(self) -> int:
        return sum(value.numel() * value.element_size() for value in self.network.state_dict().values())

    @cached_property
    def memory(self) -> "Memory | None":
        """The memory that a training takes; None where its network cannot be taken through the meta device."""
        recipe, train = self.recipe, self.recipe.train
        weights = sum(one.numel() for one in self.network.parameters())
        copies = OPTIMIZER_COPIES.get(train.optimizer, 2) if train.optimizer != "sgd" or train.momentum else 0
        kept = FLOAT * weights * (2 + copies + train.is_averaged) + weights  # with gradients, and a mask of bytes
        kept += 2 * weights if train.precision == "bf16" else 0
        examples = ceil(recipe.examples_a_step * recipe.group / recipe.data.batch_size)
        found: float | None = None
        with suppress(Exception):  # an operation that has no meta kernel, or looks at values
            found = activations(self.network, recipe.task.example(recipe.identity), examples)
        if found is None:
            return None
        found *= BF16 if train.precision == "bf16" else 1
        return Memory(kept * train.replicates, found * train.replicates, self._data_bytes)

    @property
    def _data_bytes(self) -> int:
        """The images of a set that is kept in memory, a byte a pixel: 0 of what is read as it is needed."""
        identity = self.recipe.identity
        images = identity.n_train + identity.n_validation + identity.n_test
        size = images * prod(identity.input_shape) * (1 if identity.input_dtype == "float32" else 8)
        return size if size < 4e9 else 0


@dataclass(frozen=True)
class Memory:
    """The bytes of a device that a training takes.

    weights: with their gradients, the optimizer's state, a mask and averages.
    activations: what a group of examples keeps for its backward pass.
    """

    weights: float
    activations: float
    data: float

    @property
    def total(self) -> float:
        return self.weights + self.activations + self.data + CUDA_BYTES


def activations(network: nn.Module, example: tuple[Any, ...], examples: int) -> float:
    """Return the bytes that so many examples leave for their backward pass, and the largest of them once more.

    On the meta device, which has shapes and no values. The logits are counted twice: a loss keeps as much of them.
    """
    made = deepcopy(network).to("meta").train()
    own = {one.untyped_storage()._cdata for one in (*made.parameters(), *made.buffers())}
    kept: dict[int, Tensor] = {}

    def keep(one: Tensor) -> Tensor:
        if one.untyped_storage()._cdata not in own:
            kept[one.untyped_storage()._cdata] = one  # held, so that nothing else gets its number
        return one

    inputs = [_widened(given, examples) for given in example]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda one: one):
        outputs = list(_tensors(made(*inputs)))
    sizes = [one.untyped_storage().nbytes() for one in kept.values()]
    return float(sum(sizes) + max(sizes, default=0) + 2 * sum(one.untyped_storage().nbytes() for one in outputs))


def _widened(given: Any, examples: int) -> Any:
    if not isinstance(given, Tensor):
        return given
    return torch.empty((given.shape[0] * examples, *given.shape[1:]), dtype=given.dtype, device="meta")


def _tensors(outputs: Any) -> Iterator[Tensor]:
    if isinstance(outputs, Tensor):
        yield outputs
    for one in outputs.values() if isinstance(outputs, dict) else outputs if isinstance(outputs, (list, tuple)) else ():
        yield from _tensors(one)


@dataclass(frozen=True)
class Size:
    """The size of a plan, or of what is left of it.

    trainings: with at least a step.
    seconds: {device: its time, were it alone with the study}.
    memory: of the training that takes the most of a device; None where that is not known.
    state_bytes: of storage.
    """

    trainings: int
    steps: int
    flops: float
    seconds: dict[str, float]
    memory: Memory | None
    state_bytes: float


def size_of(plan: Plan, devices: tuple[Device, ...] = DEVICES, left: bool = False) -> Size:
    """Return the size of a plan.

    left: of its jobs that are not done alone.
    """
    jobs = (piece for job in plan.jobs for piece in job.pieces) if left else iter(plan.pieces.values())
    sized: dict[str, Sized] = {}
    trainings, steps, flops, size = 0, 0, 0.0, 0.0
    seconds = {device.name: 0.0 for device in devices}
    for piece in jobs:
        if not isinstance(piece, Training):
            continue
        one = sized.setdefault(pace_of(piece.recipe), Sized(piece.recipe))
        trainings, steps = trainings + (piece.num_steps > 0), steps + piece.num_steps
        flops += piece.num_steps * one.step_flops
        size += len(piece.states) * one.state_bytes * (3 if piece.resumable else 1)
        for device in devices:
            seconds[device.name] += piece.num_steps * device.seconds(one.step_flops, piece.recipe.train.precision)
    memories = [one.memory for one in sized.values()]
    known = [one for one in memories if one is not None]
    most = max(known, key=lambda one: one.total) if known and len(known) == len(memories) else None
    return Size(trainings, steps, flops, seconds, most, size)

"""The training loop. Every weight of lth_ray's is trained here, or with others on a GPU (replicates)."""

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from lth_ray import probes
from lth_ray.config.blame import named, within
from lth_ray.models import scale_parameters
from lth_ray.pruning import Mask, Regrowth
from lth_ray.store import Tensors
from lth_ray.tasks import Evaluation, Stream
from lth_ray.tasks.base import Batch, Loaded
from lth_ray.tasks.own import own_function
from lth_ray.training.accelerator import same_bits
from lth_ray.training.averages import follow, pairs
from lth_ray.training.backends import EAGER, FUSED_NORM
from lth_ray.training.block_float import BlockFloat, block_float
from lth_ray.training.carried import joined
from lth_ray.training.clock import Clock
from lth_ray.training.compiled.fused_graph import fused_graph
from lth_ray.training.epoch_averages import EpochAverages
from lth_ray.training.few_channels import few_in_nchw
from lth_ray.training.groups import slices
from lth_ray.training.groups.gradients import Gradients
from lth_ray.training.loss import evaluate, laid_out, precision_context
from lth_ray.training.machine import slow_in, warn_once
from lth_ray.training.optimizers import build_optimizer, mask_gradients, mask_optimizer
from lth_ray.training.recipe import Recipe
from lth_ray.training.sharpness import ascended
from lth_ray.training.stepper import Stepper
from lth_ray.training.supermask import Supermask
from lth_ray.training.team import ALONE, Team

SEED_STRIDE = 0x9E3779B97F4A7C15  # odd, so that consecutive steps get distinct seeds
GROUP_STRIDE = 0xD1B54A32D192ED03  # odd as well: the groups of a step


@dataclass
class Run:
    """A training in progress: what a step reads and changes.

    step: optimizer steps taken.
    loss_sum: of the training losses since it was last reset, over `loss_steps` steps; carried by checkpoints,
        so that a mean does not depend on where training was interrupted.
    frozen: pruned weights stay at the values that `model` comes with, not at zero.
    stepper: takes its steps: autograd, until another is put in its place.
    """

    key: str
    recipe: Recipe
    model: torch.nn.Module
    batches: Stream
    dropout_seed: int
    mask: Mask | None
    step: int
    frozen: bool = False
    team: Team = ALONE
    regrowth: Regrowth | None = None  # the mask changes on the way
    optimizer: torch.optim.Optimizer = field(init=False)
    kept: list[tuple[torch.nn.Parameter, torch.Tensor]] = field(init=False)
    held: list[torch.Tensor] = field(init=False)
    loss_sum: torch.Tensor = field(init=False)
    loss_steps: int = 0
    metrics: dict[str, Any] = field(default_factory=dict)
    history: dict[str, list[Any]] = field(default_factory=dict)  # of a mask that changes: a row an update and layer
    carried: Tensors = field(default_factory=dict)  # of the whole batch, as of the last pause
    gradients: Gradients = field(init=False)
    graph: torch.nn.Module | None = field(init=False)  # the model's, where its batch norms are compiled
    forward: Any = field(init=False)  # that, the model, or what torch.compile makes of it
    scales: list[torch.nn.Parameter] = field(init=False)  # of batch norms, where Train.scale_l1 bears on them
    averages: list[tuple[torch.Tensor, torch.Tensor]] = field(init=False)
    epochs: EpochAverages | None = field(init=False)  # what takes up the weights at the ends of epochs
    low: BlockFloat | None = field(init=False)  # what rounds its numbers, in block floating point
    stepper: Stepper = field(init=False)

    def __post_init__(self) -> None:
        same_bits(self.device)
        if slow := slow_in(self.recipe.train.precision, self.device.type):
            warn_once(slow)
        recipe, size = self.recipe, self.team.size
        group = recipe.data.batch_size // size if recipe.train.sync_batch_norm else recipe.group
        if recipe.train.channels_last and self.device.type == "cpu":
            few_in_nchw(self.model)
        self.graph = fused_graph(self.model, recipe)  # first, as both may give weights another layout
        behind = self.device.type == "cuda" and not recipe.train.compile
        parts = slices.NUMBER if behind else 1
        self.gradients = Gradients(self.model, self.team, group, recipe.data.batch_size, parts)
        plain = self.model if self.graph is None else self.graph
        # never "max-autotune", which chooses kernels by a timing
        self.forward = torch.compile(plain, dynamic=False) if recipe.train.compile else plain
        self.optimizer = build_optimizer(self.recipe.train, self.model.parameters())
        parameters = dict(self.model.named_parameters())
        masked = [(parameters[name], mask) for name, mask in (self.mask or {}).items()]
        # floats, and of the parameter's own strides: others multiply several times slower
        self.kept = [(p, torch.empty_like(p).copy_(mask)) for p, mask in masked]
        self.held = [p.detach().clone() for p, _ in self.kept] if self.frozen else []
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=self.device)
        self.scales = list(scale_parameters(self.model).values()) if recipe.train.scale_l1 else []
        self.averages = pairs(self.model)
        self.epochs = None if recipe.train.average_from is None else EpochAverages(self)
        self.low = block_float(self.model, recipe.train.precision, self.dropout_seed)
        self.stepper = Eager(self)

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def backend(self) -> str:
        """The backend that trains it: "eager", "fused", "sparse" where a layer is so, "fused_norm" or
        "replicated".
        """
        return self.stepper.name


def train(run: Run, stop: int, clock: Clock | None = None) -> bool:
    """Take optimizer steps until run.step == stop, or a checkpoint is due; return whether one is due.

    At least one step is taken; `clock` says when a checkpoint is due.
    """
    run.model.train()
    return take_steps(run.stepper, [run], stop, clock)


def take_steps(stepper: Stepper, runs: Sequence[Run], stop: int, clock: Clock | None = None) -> bool:
    """Train, as `train` does one, all the runs whose steps `stepper` takes; those without a key are not counted."""
    due, first = False, runs[0]
    while first.step < stop and not due:
        limit = stop - first.step if clock is None else min(stop - first.step, clock.ahead(first.step))
        for _ in range(stepper.advance(1 if probes.WATCHING else limit)):
            for run in runs:
                run.step += 1
                run.loss_steps += 1
                if run.key:
                    probes.step(run.key, run.step, run.team.leads)
        due = clock is not None and clock.due(first.step)
    stepper.settle()
    return due


def is_finite(run: Run) -> bool:
    """Return whether training can go on; the last step may have left finite losses and infinite weights."""
    weights = [p.detach() for p in run.model.parameters() if p.numel()]
    # all of them as one number, as each look at one waits for a device; a NaN is the largest of what it is among
    found = run.loss_sum.abs()
    if weights:
        found = found + torch.stack([norm.double() for norm in torch._foreach_norm(weights, math.inf)]).max()
    return math.isfinite(found)


class Eager(Stepper):
    """Steps by autograd, through the network or through its graph with compiled batch norms."""

    def __init__(self, run: Run) -> None:
        self.run, self.loss_of = run, network_loss(run)
        self.carrying: list[Tensors] = []  # of each group of the present step

    @property
    def name(self) -> str:
        return EAGER if self.run.graph is None else FUSED_NORM

    def advance(self, limit: int) -> int:
        """Take one step, whatever the limit."""
        run = self.run
        batch, radius = run.batches.batch(run.step, run.model), run.recipe.train.sam_radius
        loss, run.metrics = run.gradients.compute(batch, self._group_loss)
        if self.carrying:
            run.batches.carry_on(joined(self.carrying))
            self.carrying.clear()
        if radius is not None:
            with ascended(run.model, radius, run.kept):
                run.gradients.compute(batch, self._group_loss)
            self.carrying.clear()  # what is carried on is of the weights as they are
        set_rate(run, run.step)
        self.apply()
        if run.epochs:
            run.epochs.follow()
        run.loss_sum += loss
        return 1

    def apply(self) -> None:
        """Do with the gradients of a step what it is for."""
        update(self.run, self.run.optimizer)

    def settle(self) -> None:
        """Do nothing: the run's model and optimizer are what is trained."""

    def evaluate(self, dataset: Loaded, split: Any) -> list[Evaluation]:
        return [evaluate_eagerly(self.run, dataset, split)]

    def _group_loss(self, batch: Batch, number: int) -> tuple[torch.Tensor, dict[str, Any]]:
        """Take one group of the present step's batch through the network: its mean loss, with dropout of its own."""
        run = self.run
        seed_dropout(run.dropout_seed, run.step, run.device, number)
        with run.low.forward(run.step, number) if run.low else nullcontext():
            loss, metrics, *carried = self.loss_of(batch)
        self.carrying += carried
        return loss, metrics


def evaluate_eagerly(run: Run, dataset: Loaded, split: Any) -> Evaluation:
    """Measure the run's network over every example of a split once, its share of them in each process of a team."""
    # a network that draws in evaluation draws for each batch, so that these must not depend on the team
    team = ALONE if isinstance(run.model, Supermask) else run.team
    task = run.recipe.task
    batches = task.examples(dataset, split, (team.rank, team.size))
    return evaluate(run.model, batches, task, run.recipe.train, team, run.graph)


def update(run: Run, optimizer: torch.optim.Optimizer) -> None:
    """Turn gradients into weights, by a step of `optimizer`; clear the gradients.

    Nothing here waits for a device.

    A pruned weight's gradient is zeroed before the optimizer sees it: a weight that starts at zero with no
    momentum then keeps both at exactly zero under each optimizer here, weight decay included. Weights frozen at
    other values are put back, since weight decay moves them.
    """
    train = run.recipe.train
    penalise_scales(run.scales, train.scale_l1)
    mask_gradients(run.kept)
    if train.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(run.model.parameters(), train.clip_norm)
    if run.low:
        run.low.round_gradients(run.step)
    optimizer.step()
    if run.low:
        run.low.round_weights(run.step, optimizer)
    if run.frozen:
        hold_pruned(run)
    if run.averages and train.ema_decay is not None:
        follow(run.averages, 1 - train.ema_decay)
    optimizer.zero_grad()


@torch.no_grad()
def penalise_scales(scales: Iterable[torch.nn.Parameter], penalty: float) -> None:
    """Add the sub-gradient of `penalty` x |scale| to the gradients of scales."""
    for scale in scales:
        if scale.grad is not None:
            scale.grad.add_(scale.sign(), alpha=penalty)


def set_rate(run: Run, step: int) -> None:
    """Give the optimizer the rate of a step.

    On a GPU a number that float32 holds: captured steps read theirs as one, and are to give the same bits.
    """
    lr = run.recipe.lr(step)
    for group in run.optimizer.param_groups:
        group["lr"] = float(np.float32(lr)) if run.loss_sum.is_cuda else lr


def network_loss(run: Run) -> Callable[[Batch], tuple[Any, ...]]:
    """Return what takes examples through the network, in its layout and precision, and gives what its step
    gives.
    """
    recipe, device, compute_loss = run.recipe, run.device, run.recipe.task.step(run.recipe.train)

    def loss_of(batch: Batch) -> tuple[Any, ...]:
        inputs = laid_out(batch[0], recipe.train)
        with precision_context(recipe.train.precision, device), within(lambda: whose(recipe)):
            return compute_loss(run.forward, (inputs, *batch[1:]))

    return loss_of


def whose(recipe: Recipe) -> str:
    """Return whose call a step's loss is: the study's own loss or step, else its network."""
    return own_function(recipe.train) or named("Model.name", recipe.model.name)


@torch.no_grad()
def hold_pruned(run: Run) -> None:
    """Put every pruned weight back to its frozen value, bit for bit, and its optimizer state to zero."""
    for (parameter, kept), value in zip(run.kept, run.held, strict=True):
        parameter.copy_(torch.where(kept.bool(), parameter, value))
    mask_optimizer(run.optimizer, run.kept)


def seed_dropout(seed: int, step: int, device: torch.device, group: int = 0) -> None:
    """Make the dropout of a group of a step's batch depend on nothing but (seed, step, group)."""
    mixed = (seed + step * SEED_STRIDE + group * GROUP_STRIDE) % (1 << 63)
    torch.default_generator.manual_seed(mixed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(mixed)

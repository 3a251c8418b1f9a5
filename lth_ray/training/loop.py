"""The training loop. Every weight of lth_ray's is trained here, or with others on a GPU (replicates)."""

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lth_ray import probes
from lth_ray.config.blame import named, within
from lth_ray.pruning import Mask, Regrowth
from lth_ray.store import Tensors
from lth_ray.tasks import Stream
from lth_ray.tasks.base import Batch
from lth_ray.tasks.own import own_function
from lth_ray.training.averages import follow, pairs
from lth_ray.training.backends import EAGER, FUSED_NORM, REPLICATED
from lth_ray.training.block_float import BlockFloat, block_float
from lth_ray.training.carried import joined
from lth_ray.training.clock import Clock
from lth_ray.training.compiled.fused import Fused
from lth_ray.training.compiled.fused_graph import fused_graph
from lth_ray.training.gradients import Gradients, Losses
from lth_ray.training.loss import laid_out, precision_context
from lth_ray.training.optimizers import build_optimizer, mask_optimizer
from lth_ray.training.recipe import Recipe
from lth_ray.training.regrowing import regrow
from lth_ray.training.team import ALONE, Team

if TYPE_CHECKING:
    from lth_ray.training.compiled.captured import Captured

SEED_STRIDE = 0x9E3779B97F4A7C15  # odd, so that consecutive steps get distinct seeds
GROUP_STRIDE = 0xD1B54A32D192ED03  # odd as well: the groups of a step


@dataclass
class Run:
    """A training in progress: what a step reads and changes.

    step: optimizer steps taken.
    loss_sum: of the training losses since it was last reset, over `loss_steps` steps; carried by checkpoints,
        so that a mean does not depend on where training was interrupted.
    frozen: pruned weights stay at the values that `model` comes with, not at zero.
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
    carrying: list[Tensors] = field(default_factory=list)  # of each group of the present step
    gradients: Gradients = field(init=False)
    graph: torch.nn.Module | None = field(init=False)  # the model's, where its batch norms are compiled
    forward: Any = field(init=False)  # that, the model, or what torch.compile makes of it
    losses: Losses = field(init=False)
    averages: list[tuple[torch.nn.Parameter, torch.Tensor]] = field(init=False)
    low: BlockFloat | None = field(init=False)  # what rounds its numbers, in block floating point
    fused: "Fused | Captured | None" = None  # the compiled or captured steps, where they train it
    together: bool = False  # it is trained with others, by lth_ray.training.together.replicates

    def __post_init__(self) -> None:
        recipe, size = self.recipe, self.team.size
        group = recipe.data.batch_size // size if recipe.train.sync_batch_norm else recipe.group
        self.graph = fused_graph(self.model, recipe)  # first, as it may give weights another layout
        self.gradients = Gradients(self.model, self.team, group, recipe.data.batch_size)
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
        self.losses, self.averages = group_losses(self), pairs(self.model)
        self.low = block_float(self.model, recipe.train.precision, self.dropout_seed)

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def backend(self) -> str:
        """The backend that trains it: "eager", "fused", "sparse" where a layer is so, "fused_norm" or
        "replicated".
        """
        if self.together:
            return REPLICATED
        return self.fused.name if self.fused else EAGER if self.graph is None else FUSED_NORM


def train(run: Run, stop: int, clock: Clock | None = None) -> bool:
    """Take optimizer steps until run.step == stop, or a checkpoint is due; return whether one is due.

    At least one step is taken; `clock` says when a checkpoint is due.
    """
    run.model.train()
    due = False
    while run.step < stop and not due:
        limit = stop - run.step if clock is None else min(stop - run.step, clock.ahead(run.step))
        for _ in range(run.fused.advance(1 if probes.WATCHING else limit) if run.fused else eager_step(run)):
            run.step += 1
            run.loss_steps += 1
            probes.step(run.key, run.step, run.team.leads)
        due = clock is not None and clock.due(run.step)
    if run.fused:
        run.fused.settle()
    return due


def is_finite(run: Run) -> bool:
    """Return whether training can go on; the last step may have left finite losses and infinite weights."""
    return math.isfinite(run.loss_sum) and all(bool(p.isfinite().all()) for p in run.model.parameters())


def eager_step(run: Run) -> int:
    """Take one autograd step, add its loss to the run's; return the steps taken (1)."""
    loss, run.metrics = run.gradients.compute(run.batches.batch(run.step, run.model), run.losses)
    if run.carrying:
        run.batches.carry_on(joined(run.carrying))
        run.carrying.clear()
    set_rate(run, run.step)
    if run.regrowth is not None and run.regrowth.due(run.step):
        regrow(run)
    else:
        update(run, run.optimizer)
    run.loss_sum += loss
    return 1


def update(run: Run, optimizer: torch.optim.Optimizer) -> None:
    """Turn gradients into weights, by a step of `optimizer`; clear the gradients.

    Nothing here waits for a device.

    A pruned weight's gradient is zeroed before the optimizer sees it: a weight that starts at zero with no
    momentum then keeps both at exactly zero under each optimizer here, weight decay included. Weights frozen at
    other values are put back, since weight decay moves them.
    """
    train = run.recipe.train
    mask_gradients(run)
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
        follow(run.averages, train.ema_decay)
    optimizer.zero_grad()


def set_rate(run: Run, step: int) -> None:
    """Give the optimizer the rate of a step.

    On a GPU a number that float32 holds: captured steps read theirs as one, and are to give the same bits.
    """
    lr = run.recipe.lr(step)
    for group in run.optimizer.param_groups:
        group["lr"] = float(np.float32(lr)) if run.loss_sum.is_cuda else lr


def mask_gradients(run: Run) -> None:
    """Zero the gradients of pruned weights."""
    if run.kept:
        masked = [(p.grad, kept) for p, kept in run.kept if p.grad is not None]
        torch._foreach_mul_([g for g, _ in masked], [kept for _, kept in masked])


def group_losses(run: Run) -> Losses:
    """Return what takes one group of the present step's batch through the network.

    It gives the group's mean loss, with dropout of its own.
    """
    device, loss_of = run.device, network_loss(run)

    def losses(batch: Batch, number: int) -> tuple[torch.Tensor, dict[str, Any]]:
        seed_dropout(run.dropout_seed, run.step, device, number)
        with run.low.forward(run.step, number) if run.low else nullcontext():
            loss, metrics, *carried = loss_of(batch)
        run.carrying += carried
        return loss, metrics

    return losses


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

"""The training loop. Every weight that lth_ray trains is trained here."""

import time
from dataclasses import dataclass, field
from typing import Any

import torch

from lth_ray import probes
from lth_ray.data import Batches
from lth_ray.training.loss import precision_context, training_step
from lth_ray.training.optimizers import build_optimizer, mask_optimizer
from lth_ray.training.recipe import Recipe

Mask = dict[str, torch.Tensor]
SEED_STRIDE = 0x9E3779B97F4A7C15  # odd, so that consecutive steps get distinct seeds


@dataclass
class Run:
    """Training in progress: what a step reads and changes.

    step: optimizer steps taken. loss_sum: of the training losses since it was last reset, over `loss_steps` steps;
    carried by checkpoints, so that a mean does not depend on where training was interrupted.
    frozen: pruned weights stay at the values that `model` comes with, not at zero.
    """

    key: str
    recipe: Recipe
    model: torch.nn.Module
    batches: Batches
    dropout_seed: int
    mask: Mask | None
    step: int
    frozen: bool = False
    optimizer: torch.optim.Optimizer = field(init=False)
    kept: list[tuple[torch.nn.Parameter, torch.Tensor]] = field(init=False)
    held: list[torch.Tensor] = field(init=False)
    loss_sum: torch.Tensor = field(init=False)
    loss_steps: int = 0
    metrics: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.optimizer = build_optimizer(self.recipe.train, self.model)
        parameters = dict(self.model.named_parameters())
        masked = self.mask.items() if self.mask else ()
        # float masks multiply several times faster than bool ones
        self.kept = [(parameters[name], mask.to(parameters[name])) for name, mask in masked]
        self.held = [p.detach().clone() for p, _ in self.kept] if self.frozen else []
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=self.device)

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device


def train(run: Run, stop: int, deadline: float = float("inf")) -> None:
    """Takes optimizer steps until run.step == stop or, after at least one, time.monotonic() passes `deadline`.

    A pruned weight's gradient is zeroed before the optimizer sees it: a weight that starts at zero with no
    momentum then keeps both at exactly zero under each optimizer here, weight decay included. Weights frozen at
    other values are put back, since weight decay moves them.
    """
    model, optimizer, recipe = run.model.train(), run.optimizer, run.recipe
    compute_loss, device, clip = training_step(recipe.train), run.device, recipe.train.clip_norm
    while run.step < stop:
        seed_dropout(run.dropout_seed, run.step, device)
        batch = run.batches.batch(run.step)
        with precision_context(recipe.train.precision, device):
            loss, run.metrics = compute_loss(model, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        if run.kept:
            gradients = [(p.grad, kept) for p, kept in run.kept if p.grad is not None]
            torch._foreach_mul_([g for g, _ in gradients], [kept for _, kept in gradients])
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        lr = recipe.lr(run.step)
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.step()
        if run.frozen:
            hold_pruned(run)
        optimizer.zero_grad()
        run.loss_sum += loss.detach()
        run.loss_steps += 1
        run.step += 1
        probes.step(run.key, run.step)
        if time.monotonic() >= deadline:
            return


@torch.no_grad()
def hold_pruned(run: Run) -> None:
    """Puts every pruned weight back to its frozen value, bit for bit, and its optimizer state to zero."""
    for (parameter, kept), value in zip(run.kept, run.held, strict=True):
        parameter.copy_(torch.where(kept.bool(), parameter, value))
    mask_optimizer(run.optimizer, run.kept)


def seed_dropout(seed: int, step: int, device: torch.device) -> None:
    """Makes a step's dropout depend on nothing but (seed, step)."""
    mixed = (seed + step * SEED_STRIDE) % (1 << 63)
    torch.default_generator.manual_seed(mixed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(mixed)

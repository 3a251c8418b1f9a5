"""Losses and evaluation: sums over images divided by their number."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from lth_ray.config import Train
from lth_ray.data import Batch
from lth_ray.training.averages import averaged
from lth_ray.training.team import ALONE, Team

Step = Callable[[torch.nn.Module, Batch], tuple[torch.Tensor, dict[str, Any]]]


def training_step(train: Train) -> Step:
    """fn(model, batch) -> (mean loss, metrics): the study's own, else the cross entropy with label smoothing."""
    own = train.loss if train.step is None else train.step
    if own is not None:
        return _detached(own)

    def cross_entropy(model: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, Any]]:
        inputs, labels = batch
        return F.cross_entropy(model(inputs), labels, label_smoothing=train.label_smoothing), {}

    return cross_entropy


def _detached(own: Step) -> Step:
    """`own`, its metrics without what they were computed from: a step's graph would be kept for as long as they are."""

    def step(model: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, Any]]:
        loss, metrics = own(model, batch)
        plain = {name: one.detach() if isinstance(one, torch.Tensor) else one for name, one in metrics.items()}
        return loss, plain

    return step


def precision_context(precision: str, device: torch.device) -> torch.autocast:
    """bf16 autocast, or nothing for fp32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


@dataclass(frozen=True)
class Evaluation:
    """Mean loss and share of images classified rightly, over n images."""

    loss: float
    accuracy: float
    n: int


@torch.inference_mode()
def evaluate(
    model: torch.nn.Module,
    batches: Iterable[Batch],
    train: Train,
    team: Team = ALONE,
    graph: torch.nn.Module | None = None,
) -> Evaluation:
    """Measures `model` in evaluation mode over every image of `batches`, once each; those of the whole team's.

    Of a network that keeps an average of its weights it is that which is measured. graph: what calls the model's
    layers in its place (lth_ray.training.fused_graph).
    """
    was_training = model.training
    model.eval()
    with averaged(model):
        found = loss_sums(model if graph is None else graph, batches, train)
    model.train(was_training)
    return mean_of(team.add(found))


def mean_of(sums: torch.Tensor) -> Evaluation:
    """What `loss_sums` come to."""
    loss_sum, right, n = sums.tolist()
    return Evaluation(loss_sum / n, right / n, int(n))


def loss_sums(model: torch.nn.Module, batches: Iterable[Batch], train: Train) -> torch.Tensor:
    """The sum of the losses, the number of images classified rightly and that of all, float64 [3]."""
    device = next(model.parameters()).device
    loss_sum = torch.zeros((), dtype=torch.float64, device=device)
    right = torch.zeros((), dtype=torch.int64, device=device)
    n = 0
    for inputs, labels in batches:
        if train.channels_last:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        with precision_context(train.precision, inputs.device):
            logits = model(inputs)
            if train.loss is None:
                loss = F.cross_entropy(logits.float(), labels, reduction="sum")
            else:
                loss = train.loss(model, (inputs, labels))[0] * len(labels)
        loss_sum = loss_sum + loss.double()
        right = right + (logits.argmax(1) == labels).sum()
        n += len(labels)
    return torch.stack([loss_sum, right.double(), torch.full_like(loss_sum, n)])

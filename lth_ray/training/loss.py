"""Evaluation: sums over examples, turned into a mean loss and the metric of the task."""

from collections.abc import Iterable
from typing import Any

import torch

from lth_ray.config import Train
from lth_ray.config.blame import within
from lth_ray.tasks import Evaluation, Task
from lth_ray.tasks.base import Batch
from lth_ray.tasks.own import checked, own_function
from lth_ray.training.averages import averaged
from lth_ray.training.block_float import measured_in
from lth_ray.training.team import ALONE, Team


def precision_context(precision: str, device: torch.device) -> torch.autocast:
    """Return bf16 autocast, or nothing for the other precisions."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


@torch.inference_mode()
def evaluate(
    model: torch.nn.Module,
    batches: Iterable[Batch],
    task: Task[Any],
    train: Train,
    team: Team = ALONE,
    graph: torch.nn.Module | None = None,
) -> Evaluation:
    """Measure `model` in evaluation mode over every example of `batches`, once each; those of the whole
    team's.

    Of a network that keeps an average of its weights it is that which is measured.

    graph: what calls the model's layers in its place (lth_ray.training.compiled.fused_graph).
    """
    was_training = model.training
    model.eval()
    with (
        averaged(model),
        measured_in(train.precision, model),
        within(lambda: "the evaluation of Model" + f" and {own_function(train)}" * (train.loss is not None)),
    ):
        sums, kept = measured(model if graph is None else graph, batches, task, train)
    model.train(was_training)
    sums, kept = _of_all(sums, kept, team, next(model.parameters(), sums).device)
    return task.evaluation(sums) if kept is None else task.judged(sums, kept)


def measured(
    model: torch.nn.Module, batches: Iterable[Batch], task: Task[Any], train: Train
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return the task's sums over all batches, float64 [k], and what it keeps of each example, if anything.

    With a loss of the study's own in the place of the task's. Of no batches there are none, float64 [0].
    """
    total: torch.Tensor | None = None
    kept: list[torch.Tensor] = []
    call = task.caller(model)
    for batch in batches:
        given = (laid_out(batch[0], train), *batch[1:])
        with precision_context(train.precision, given[0].device):
            outputs = call(given)
            sums = task.sums(outputs, batch)
            if train.loss is not None:
                sums[0] = checked(train, train.loss(model, given))[0].double() * sums[-1]
            own = task.kept(outputs, batch)
        kept += [] if own is None else [own]
        total = sums if total is None else total + sums
    sums = torch.zeros(0, dtype=torch.float64) if total is None else total
    return sums, torch.cat(kept) if kept else None


def _of_all(
    sums: torch.Tensor, kept: torch.Tensor | None, team: Team, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return the sums of all workers together, and the rows that all keep. One whose share is empty has neither."""
    width, columns = team.largest([len(sums), 0 if kept is None else kept.shape[1]], device)
    assert width, "there is nothing to measure"
    if len(sums) == 0:
        sums = torch.zeros(width, dtype=torch.float64, device=device)
        kept = torch.zeros(0, columns, dtype=torch.float64, device=device) if columns else None
    return team.add(sums), kept if kept is None else gathered(kept, team)


def gathered(kept: torch.Tensor, team: Team) -> torch.Tensor:
    """Return the rows of all workers, of which each may have another number, in the order of ranks."""
    if team.size == 1:
        return kept
    counts = team.gather(torch.tensor([len(kept)], device=kept.device)).tolist()
    filled = kept.new_zeros(max(counts), kept.shape[1])
    filled[: len(kept)] = kept
    parts = team.gather(filled).split(max(counts))
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])


def laid_out(inputs: torch.Tensor, train: Train) -> torch.Tensor:
    """Return inputs in the memory layout that a recipe asks for, which images have."""
    is_laid = train.channels_last and inputs.dim() == 4
    return inputs.contiguous(memory_format=torch.channels_last) if is_laid else inputs

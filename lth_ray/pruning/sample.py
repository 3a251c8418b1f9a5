"""The examples that a criterion scores by: as they come, the same number of each class, fewer, or spoilt."""

from collections.abc import Iterator
from typing import Any

import torch

from lth_ray.config import ConfigError, Scoring
from lth_ray.data import Identity
from lth_ray.data.order import uniform
from lth_ray.pruning.evidence import Batch
from lth_ray.tasks.base import Loaded, Task


def sample(
    task: Task[Any], identity: Identity, loaded: Loaded, scoring: Scoring, order: int, seed: int
) -> list[Batch]:  # fmt: skip
    """Take Scoring.batches batches (inputs, targets) of training examples, in the order drawn by `order`.

    seed: of what `scoring.data` exchanges. Errors: ConfigError where there are too few examples of a class.
    """
    check_sample(task, identity, scoring)
    classes = None if scoring.per_class is None else task.classes(identity)
    if scoring.per_class is None or classes is None:
        found = [task.evidence(loaded, order, number) for number in range(scoring.batches)]
    else:
        found = _balanced(_epoch(task, identity, loaded, order), classes, scoring.per_class, scoring.batches)
    if scoring.data == "half":
        found = [_half(batch, classes) for batch in found]
    if scoring.data == "random_labels":
        found = [
            (batch[0], *(_exchanged(targets, seed, f"labels/{i}") for targets in batch[1:]))
            for i, batch in enumerate(found)
        ]
    if scoring.data == "random_pixels":
        found = [(_scattered(batch[0], seed, f"pixels/{i}"), *batch[1:]) for i, batch in enumerate(found)]
    return found


def check_sample(task: Task[Any], identity: Identity, scoring: Scoring) -> None:
    """Raise ConfigError for a number of examples a class where examples have no classes, or where no class can have so
    many."""
    if scoring.per_class is None:
        return
    classes = task.classes(identity)
    if classes is None:
        raise ConfigError(
            f"Prune.scoring: per_class = {scoring.per_class}, and the targets of {type(task.config).__name__} are no "
            "classes; leave it out"
        )
    asked = classes * scoring.per_class * scoring.batches
    if asked > identity.n_train:
        raise ConfigError(
            f"Prune.scoring: per_class = {scoring.per_class} in {scoring.batches} batches are {asked:,} examples of "
            f"{classes} classes, and there are {identity.n_train:,}; give fewer"
        )


def _balanced(epoch: Iterator[Batch], classes: int, per_class: int, batches: int) -> list[Batch]:
    """Take the first `per_class` of each class, the next of each in the second batch, and so on, as they come."""
    seen = torch.zeros(classes, dtype=torch.int64)
    parts: list[list[Batch]] = [[] for _ in range(batches)]
    for batch in epoch:
        labels = batch[1].cpu()
        ranks = _ranks(labels, seen)
        for number, part in enumerate(parts):
            rows = (ranks // per_class == number).nonzero().flatten().to(batch[1].device)
            if len(rows):
                part.append(tuple(tensor.index_select(0, rows) for tensor in batch))
        if int(seen.min()) >= per_class * batches:
            return [tuple(torch.cat(tensors) for tensors in zip(*part, strict=True)) for part in parts]
    rare = int(seen.argmin())
    raise ConfigError(
        f"Prune.scoring: {batches} x {per_class} examples of each class are asked for, and of class {rare} there are "
        f"{int(seen[rare])} in an epoch; give fewer"
    )


def _epoch(task: Task[Any], identity: Identity, loaded: Loaded, order: int) -> Iterator[Batch]:
    """Yield every batch of the order's first epoch."""
    number, seen = 0, 0
    while True:
        batch = task.evidence(loaded, order, number)
        if seen + len(batch[1]) > identity.n_train:
            return
        yield batch
        number, seen = number + 1, seen + len(batch[1])


def _ranks(labels: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """Count how many of its class came before each example, int64 [B]; adds them to `seen` [classes]."""
    one_hot = torch.nn.functional.one_hot(labels, len(seen))
    ranks: torch.Tensor = (one_hot.cumsum(0) - 1 + seen).gather(1, labels[:, None]).flatten()
    seen += one_hot.sum(0)
    return ranks


def _half(batch: Batch, classes: int | None) -> Batch:
    """Take the first half, rounded up, of each class; without classes of the batch."""
    labels = batch[1].cpu()
    if classes is None:
        rows = torch.arange((len(labels) + 1) // 2)
    else:
        seen = torch.zeros(classes, dtype=torch.int64)
        ranks = _ranks(labels, seen)
        rows = (ranks < ((seen + 1) // 2)[labels]).nonzero().flatten()
    return tuple(tensor.index_select(0, rows.to(tensor.device)) for tensor in batch)


def _exchanged(targets: torch.Tensor, seed: int, use: str) -> torch.Tensor:
    return targets[uniform(seed, use, len(targets)).argsort(stable=True).to(targets.device)]


def _scattered(inputs: torch.Tensor, seed: int, use: str) -> torch.Tensor:
    """Put the places of each example in an order of its own; the channels of a place stay together."""
    flat = inputs.flatten(2) if inputs.dim() > 2 else inputs[:, None]
    examples, channels, places = flat.shape
    order = uniform(seed, use, examples * places).view(examples, 1, places).argsort(dim=2, stable=True)
    return flat.gather(2, order.to(inputs.device).expand(-1, channels, -1)).view_as(inputs)

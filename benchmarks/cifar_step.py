"""Convolutional networks on CIFAR-10's shape, batch 128, one thread: our loop beside a plain step.

Ours is `lth_ray.training.train` of a masked network with channels_last and the backend that the rule chooses, on uint8
images that are augmented by random crops and flips, in a process that keeps its memory, as a study's do. The plain
step, in a process as Python starts it, is what one would write by hand: NCHW in float32, the images resident as one
float tensor, the batch by index_select and not augmented, autograd, fused SGD, the mask put back on the weights by one
multiplication of all tensors. Both use the recipe of studies/resnet20_cifar10.py but for a tiny learning rate, since
the images are random. In bf16 our step stands beside our own in fp32.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.ceiling import ceiling
from benchmarks.masking import masked
from benchmarks.timing import Entry, Line, Skipped, Work, judged, paired
from lth_ray import models
from lth_ray.config import Data, Model, Train, steps
from lth_ray.data import Batches, Identity, Split
from lth_ray.models.flops import TRAINING, forward_flops, uses_of_weights
from lth_ray.pruning import Mask
from lth_ray.training import Recipe, Run, train
from lth_ray.training.machine import bf16_instructions
from lth_ray.training.process import HUGE_PAGES

Name = str | Callable[..., nn.Module]


def own_vgg(num_classes: int) -> nn.Module:
    """Return convolutions with batch norm and ReLU, pooling and a linear layer, as people write them."""
    layers, before = list[nn.Module](), 3
    for after in (64, 64, 128, 128):
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
        layers += [nn.MaxPool2d(2)] if after == before else []
        before = after
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, num_classes))


TARGETS: dict[Name, float] = {  # x the plain step
    "cifar_resnet20": 0.65, "cifar_vgg11": 1.0, "conv2": 1.0, "resnet18": 1.0, own_vgg: 1.0,
}  # fmt: skip
IN_BF16 = {"cifar_resnet20": 0.6, "cifar_vgg16": 0.6}  # x our step in fp32
BATCH, N_TRAIN, SHAPE, CLASSES = 128, 10_000, (3, 32, 32), 10
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
KEPT, RATE, MOMENTUM, DECAY = 0.21, 1e-6, 0.9, 1e-4
PAIRS_A_STEP = 33  # a step takes hundreds of times as long as one of LeNet's


def entries(pairs: int = 200) -> list[Line]:
    """Time a training step of each network as a multiple of the plain one."""
    torch.set_num_threads(1)
    number = max(2, pairs // PAIRS_A_STEP)
    return [*(entry(name, number) for name in TARGETS), *(bf16_entry(name, number) for name in IN_BF16)]


def entry(name: Name, pairs: int, batch: int = BATCH, **train_fields: Any) -> Entry:
    """Time one network.

    train_fields: of Train, where they are to be others than channels_last=True.
    """
    images = random_images()
    run = our_run(name, images, batch, {"channels_last": True, **train_fields})
    with elsewhere(name, batch) as plain:
        measured = paired(lambda: train(run, run.step + 1), plain, pairs=pairs, warmups=1)
    flop = TRAINING * batch * forward_flops(run.model, uses_of_weights(run.model, (torch.zeros(1, *SHAPE),)))
    what = f"masked training step of {name if isinstance(name, str) else name.__name__} ({run.backend})"
    of_ceiling = ceiling().of_matmul(flop, measured.ours_ms / 1e3)
    return judged(what, "x plain", measured, target=TARGETS[name], of_ceiling=of_ceiling)


def bf16_entry(name: str, pairs: int, batch: int = BATCH) -> Line:
    """Time one network's step in bf16 as a multiple of that in fp32, each on the backend that the rule chooses; where
    the processor has instructions for it.
    """
    if bf16_instructions() == "none":
        why = "this processor has no instructions for bf16 (avx512_bf16 or amx_bf16), and imitates it"
        return Skipped(f"masked training step of {name} in bf16", why)
    images = random_images()
    half, whole = (
        our_run(name, images, batch, {"channels_last": True, "precision": precision}) for precision in ("bf16", "fp32")
    )
    measured = paired(lambda: train(half, half.step + 1), lambda: train(whole, whole.step + 1), pairs=pairs, warmups=2)
    what = f"masked training step of {name} in bf16 ({half.backend}, {bf16_instructions()})"
    return judged(what, "x fp32", measured, target=IN_BF16[name])


@contextmanager
def elsewhere(name: Name, batch: int) -> Iterator[Work]:
    """Give the plain step in a process that is as Python starts it; a call takes one and waits for it."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, name, batch), daemon=True)
    chosen = os.environ.pop(HUGE_PAGES, None)
    process.start()
    if chosen is not None:
        os.environ[HUGE_PAGES] = chosen

    def step() -> None:
        ours.send(True)
        ours.recv()

    try:
        yield step
    finally:
        ours.send(False)
        process.join()


def _serve(pipe: "Connection[bool, bool]", name: Name, batch: int) -> None:
    torch.set_num_threads(1)
    step = plain_step(name, random_images(), batch)
    while pipe.recv():
        step()
        pipe.send(True)


def random_images(n: int = N_TRAIN) -> Split:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (n, *SHAPE), dtype=torch.uint8, generator=generator)
    return Split(images, torch.randint(0, CLASSES, (n,), generator=generator))


def network(name: Name) -> tuple[torch.nn.Module, Mask]:
    """Return a network with a random mask that keeps 21 % of its weights."""
    model = models.build(name, CLASSES, SHAPE, seed=0)
    return model, masked(model, KEPT)


def our_run(name: Name, images: Split, batch: int, train_fields: Mapping[str, Any]) -> Run:
    """Return training as a study does it."""
    model, mask = network(name)
    recipe = Recipe(
        Model(name),
        Data("cifar10", batch_size=batch, validation=0, augment="crop_flip"),
        Train(steps(30_000), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY, **train_fields),
        Identity("random", len(images), 0, 0, SHAPE, CLASSES),
    )
    if recipe.train.channels_last:
        model.to(memory_format=torch.channels_last)
    batches = Batches(images, MEAN, STD, batch, order_seed=0, augmentation_seed=0, augment="crop_flip")
    return Run("benchmark", recipe, model, batches, dropout_seed=0, mask=mask, step=0)


def plain_step(name: Name, images: Split, batch: int) -> Work:
    """Return the same network's step by hand: each call takes one."""
    model, mask = network(name)
    parameters = dict(model.named_parameters())
    masked: list[torch.Tensor] = [parameters[name] for name in mask]
    kept = [keeps.to(torch.float32) for keeps in mask.values()]
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY, fused=True)
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (MEAN, STD))
    inputs, order = (images.images.float() / 255 - mean) / std, torch.arange(len(images))
    rows = order[: len(order) // batch * batch].view(-1, batch)
    taken = 0

    def step() -> None:
        nonlocal taken
        chosen = rows[taken % len(rows)]
        loss = F.cross_entropy(model(inputs.index_select(0, chosen)), images.labels.index_select(0, chosen))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            torch._foreach_mul_(masked, kept)
        taken += 1

    return step

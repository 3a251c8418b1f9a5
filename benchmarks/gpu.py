"""`python -m benchmarks.gpu [--json FILE] [--repeats N] [--smoke]`: what one GPU makes of the training steps.

Imports neither Ray nor MLflow. --smoke runs every entry tiny, on a CPU where there is no GPU, which measures nothing.
Work beside other work is timed in turn, the first of a pair changing each time; figures are medians with their
quartiles. A turn ends when the device has finished.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.timing import Paired, paired
from lth_ray import models, pruning
from lth_ray.config import Data, Model, Train, steps
from lth_ray.data import Batches, Identity, Split
from lth_ray.training import Recipe, Run, environment, replicate, train, train_together
from lth_ray.training.compiled.captured import Captured

KEPT = 0.21
TINY_RATE = 1e-6  # the work of a step is the same whatever the rate, and noise is not learned
SGD: dict[str, Any] = {"momentum": 0.9, "weight_decay": 1e-4}
FAST: dict[str, Any] = {"precision": "bf16", "channels_last": True}


@dataclass(frozen=True)
class Sizes:
    """The size of everything.

    steps: of a turn, for each network.
    repeats: turns.
    """

    repeats: int = 20
    matmul: int = 8192
    copied_mb: int = 4096
    lenet: str = "lenet_300_100"
    images: int = 55_000
    lenet_steps: int = 1000
    together_steps: int = 200
    replicates: tuple[int, ...] = (16, 64, 256)
    resnet20: str = "cifar_resnet20"
    resnet20_batch: int = 128
    resnet20_steps: int = 50
    resnet50: str = "resnet50"
    side: int = 224
    batch: int = 256
    resnet50_steps: int = 10
    compile: bool = True


SMOKE = Sizes(
    repeats=2, matmul=64, copied_mb=1, lenet="lenet_8_8", images=640, lenet_steps=4, together_steps=2,
    replicates=(2,), resnet20="cifar_resnet8_4", resnet20_batch=8, resnet20_steps=1, resnet50="resnet18", side=32,
    batch=4, resnet50_steps=1, compile=False,
)  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """A line of the report. spread: the quartiles over n turns. target: at least that; None where there is none."""

    name: str
    unit: str
    value: float
    spread: tuple[float, float]
    n: int
    target: float | None = None

    @property
    def met(self) -> bool | None:
        return None if self.target is None else self.value >= self.target


def figures(device: torch.device, sizes: Sizes) -> Iterator[Figure]:
    """Yield every entry, as it is measured."""
    yield from ceilings(device, sizes)
    yield from lenet(device, sizes)
    for count in sizes.replicates:
        yield together(device, sizes, count)
    yield from resnet20(device, sizes)
    yield from resnet50(device, sizes)


def ceilings(device: torch.device, sizes: Sizes) -> Iterator[Figure]:
    """Measure the device at best: products of large matrices, and copies from its memory to itself."""
    n = sizes.matmul
    for dtype in (torch.float32, torch.bfloat16):
        left, right = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
        taken = turns(partial(torch.matmul, left, right), device, sizes)
        yield rates(f"product of two {n} x {n} matrices, {dtype}".replace("torch.", ""), "TFLOP/s", 2e-12 * n**3, taken)
    source = torch.zeros(sizes.copied_mb << 20, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    taken = turns(lambda: target.copy_(source), device, sizes)
    yield rates("copy, bytes read and written", "GB/s", 2e-9 * source.numel(), taken)


def lenet(device: torch.device, sizes: Sizes) -> Iterator[Figure]:
    """Measure a LeNet at batch 60 with Adam and 21 % of its weights, captured and eager, in steps a second."""
    split = random_split(sizes.images, (1, 28, 28), 10, device)
    ours, eager = (lenet_run(split, sizes, 0) for _ in range(2))
    ours.stepper = Captured(ours)
    measured = side_by_side(ours, eager, sizes.lenet_steps, device, sizes)
    yield rates(f"{sizes.lenet} captured", "steps/s", 1, measured.ours_s, 15_000)
    yield rates(f"{sizes.lenet} eager", "steps/s", 1, measured.theirs_s)
    yield quotient(f"{sizes.lenet} captured, of eager", measured)


def together(device: torch.device, sizes: Sizes, count: int) -> Figure:
    """Measure so many of the same LeNet, each with weights, a mask and an order of its own: steps of all of
    them a second.
    """
    split = random_split(sizes.images, (1, 28, 28), 10, device)
    replicates = replicate([lenet_run(split, sizes, number) for number in range(count)])
    number = sizes.together_steps
    taken = turns(lambda: train_together(replicates, replicates.step + number), device, sizes)
    target = 200_000 if count >= 64 else None
    return rates(f"{count} x {sizes.lenet} together", "steps/s", count * number, taken, target)


def resnet20(device: torch.device, sizes: Sizes) -> Iterator[Figure]:
    """Measure augmented ResNet-20: bf16, channels_last and captured beside plain fp32, in images a second."""
    batch = sizes.resnet20_batch
    split = random_split(64 * batch, (3, 32, 32), 10, device)
    plain, fast = (a_run(split, sizes.resnet20, 10, batch, "crop_flip", **SGD, **given) for given in ({}, FAST))
    fast.stepper = Captured(fast)
    measured = side_by_side(fast, plain, sizes.resnet20_steps, device, sizes)
    yield rates(f"{sizes.resnet20} bf16 channels_last captured", "images/s", batch, measured.ours_s)
    yield rates(f"{sizes.resnet20} fp32 eager", "images/s", batch, measured.theirs_s)
    yield quotient(f"{sizes.resnet20} captured, of fp32 eager", measured)


def resnet50(device: torch.device, sizes: Sizes) -> Iterator[Figure]:
    """Measure ResNet-50 in bf16, channels_last and compiled, with masks and without, in images a second."""
    batch, name = sizes.batch, sizes.resnet50
    split = random_split(4 * batch, (3, sizes.side, sizes.side), 1000, device)
    masked, dense = (
        a_run(split, name, 1000, batch, "none", kept=kept, compile=sizes.compile, **SGD, **FAST)
        for kept in (KEPT, None)
    )
    measured = side_by_side(masked, dense, sizes.resnet50_steps, device, sizes)
    yield rates(f"{name} with masks", "images/s", batch, measured.ours_s, 4500)
    yield rates(f"{name} without masks", "images/s", batch, measured.theirs_s)
    yield quotient(f"{name} with masks, of without", measured, 0.95)


def lenet_run(split: Split, sizes: Sizes, seed: int) -> Run:
    return a_run(split, sizes.lenet, 10, 60, "none", seed=seed, optimizer="adam")


def a_run(
    split: Split, name: str, num_classes: int, batch: int, augment: str,
    *, seed: int = 0, kept: float | None = KEPT, **given: Any,
) -> Run:  # fmt: skip
    """Return training as a study does it, on the device of `split`, with a random mask.

    kept: None for no mask.
    """
    device, (channels, height, width) = split.images.device, split.images.shape[1:]
    recipe = Recipe(
        Model(name),
        Data("random", batch_size=batch, validation=0, augment=augment),
        Train(steps(10_000_000), lr=TINY_RATE, **given),
        Identity("random", len(split), 0, 0, (channels, height, width), num_classes),
    )
    network = models.build(name, num_classes, seed=seed)
    mask = None
    if kept is not None:
        dense = pruning.dense_mask(network)
        mask = pruning.prune(pruning.score("random", network, dense, seed=seed), dense, 1 - kept)
        pruning.apply_mask(network, mask)
        mask = {name: part.to(device) for name, part in mask.items()}
    layout = torch.channels_last if recipe.train.channels_last else torch.contiguous_format
    network = network.to(device).to(memory_format=layout)
    mean = (0.5,) * channels
    batches = Batches(split, mean, mean, batch, order_seed=seed, augmentation_seed=seed, augment=augment)
    return Run(f"benchmark {seed}", recipe, network, batches, 0, mask, 0)


def random_split(n: int, shape: tuple[int, int, int], num_classes: int, device: torch.device) -> Split:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (n, *shape), dtype=torch.uint8, generator=generator)
    return Split(images, torch.randint(0, num_classes, (n,), generator=generator)).to(device)


def side_by_side(ours: Run, theirs: Run, number: int, device: torch.device, sizes: Sizes) -> Paired:
    """Return the seconds a step of two runs, `number` of them a turn."""

    def turn_of(run: Run) -> Callable[[], None]:
        def turn() -> None:
            train(run, run.step + number)
            wait(device)

        return turn

    return paired(turn_of(ours), turn_of(theirs), pairs=sizes.repeats, units=(number, number), warmups=1)


def turns(work: Callable[[], object], device: torch.device, sizes: Sizes) -> tuple[float, ...]:
    """Return the seconds of each of several calls, the first not counted."""
    found = []
    for _ in range(1 + sizes.repeats):
        began = time.perf_counter()
        work()
        wait(device)
        found.append(time.perf_counter() - began)
    return tuple(found[1:])


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def rates(name: str, unit: str, work: float, seconds: tuple[float, ...], target: float | None = None) -> Figure:
    """Return the rate of so much work in each of so many seconds."""
    return _figure(name, unit, [work / taken for taken in seconds], target)


def quotient(name: str, measured: Paired, target: float | None = None) -> Figure:
    """Return our speed as a multiple of theirs, pair by pair."""
    return _figure(name, "x", [1 / ratio for ratio in measured.ratios], target)


def _figure(name: str, unit: str, values: list[float], target: float | None) -> Figure:
    low, middle, high = statistics.quantiles(values, n=4)
    return Figure(name, unit, middle, (low, high), len(values), target)


def main(arguments: list[str] | None = None) -> None:
    """Print each figure as it is found; --json also writes them, with the environment they were taken in."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--repeats", type=int, help=f"turns of each entry (default {Sizes.repeats})")
    parser.add_argument("--smoke", action="store_true", help="every entry tiny, on any device: measures nothing")
    given = parser.parse_args(arguments)
    if not given.smoke and not torch.cuda.is_available():
        parser.error("there is no GPU here: give --smoke to try the entries on a CPU")
    sizes = SMOKE if given.smoke else Sizes(repeats=given.repeats or Sizes.repeats)
    if sizes.repeats < 2:
        parser.error(f"--repeats {sizes.repeats}: give at least 2, a spread needs them")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    where = environment(str(device))
    print(f"{where['device']}, torch {where['packages']['torch']}, CUDA {torch.version.cuda}", flush=True)
    found = []
    for figure in figures(device, sizes):
        low, high = figure.spread
        target = "" if figure.target is None else f"  target >= {figure.target:g}: {'met' if figure.met else 'missed'}"
        print(f"{figure.name:60} {figure.value:12,.4g} {figure.unit:8} [{low:,.4g} - {high:,.4g}]{target}", flush=True)
        found.append({**asdict(figure), "met": figure.met})
        if given.json:  # after each, so that a run that is cut short leaves what it has
            document = {"environment": where, "cuda": torch.version.cuda, "smoke": given.smoke, "figures": found}
            given.json.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""The speed of steps: the GPU at best, ResNet-50 beside a loop by hand, small networks captured and together."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch

from benchmarks.gpu.report import Fact, Figure, Found, figure, quotient, rates
from benchmarks.gpu.setup import (
    FAST,
    SGD,
    ByHand,
    OneOfTwo,
    Sizes,
    a_run,
    device_of,
    imagenet,
    lenet_run,
    random_split,
    side_by_side,
    sizes,
    steps_of,
    turns,
    wait,
)
from benchmarks.timing import paired
from lth_ray.data import Split
from lth_ray.training import Run, environment, replicate, train_together
from lth_ray.training.accelerator import same_bits
from lth_ray.training.compiled.captured import Captured
from lth_ray.training.together.replicates import in_turn


def ceilings(fake: bool) -> Iterator[Found]:
    """Measure the device at best: products of large matrices, and copies from its memory to itself."""
    device, taken = device_of(fake), sizes(fake)
    same_bits(device)
    where = environment(str(device))
    for name, value in (where | where.get("gpu", {})).items():
        if name not in ("gpu", "packages"):
            yield Fact(name, str(value))
    yield Fact("packages", ", ".join(f"{name} {number}" for name, number in where["packages"].items()))
    n = taken.matmul
    for dtype, expected in ((torch.bfloat16, "770 - 800"), (torch.float32, "50")):
        left, right = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
        seconds = turns(partial(torch.matmul, left, right), device, taken.repeats)
        name = f"product of two {n} x {n} matrices, {dtype}".replace("torch.", "")
        yield rates(name, "TFLOP/s", 2e-12 * n**3, seconds, expected=expected)
    source = torch.zeros(taken.copied_mb << 20, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    seconds = turns(lambda: target.copy_(source), device, taken.repeats)
    yield rates("copy, bytes read and written", "GB/s", 2e-9 * source.numel(), seconds, expected="4,300")


def resnet50(fake: bool, compiled: bool) -> Iterator[Found]:
    """Measure our masked step of ResNet-50 (bf16, channels_last) beside a loop by hand without masks."""
    device, taken = device_of(fake), sizes(fake)
    split, number, compiled = imagenet(taken, device), taken.resnet50_steps, compiled and taken.compile
    ours = a_run(split, taken.resnet50, 1000, taken.batch, "none", compile=compiled, **SGD, **FAST)
    plain = ByHand(split, taken.resnet50, 1000, taken.batch, compiled)

    def by_hand() -> None:
        for _ in range(number):
            plain.step()
        wait(device)

    measured = paired(
        steps_of(ours, number, device), by_hand, pairs=taken.repeats, units=(number, number), warmups=1
    )  # fmt: skip
    name, expected = ("compiled", "3,500 - 4,500") if compiled else ("eager", "3,000 - 3,800")
    yield quotient(f"{taken.resnet50} {name} with masks, of a loop by hand", measured, least=None if fake else 0.95)
    yield rates(f"{taken.resnet50} {name} with masks", "images/s", taken.batch, measured.ours_s, expected=expected)
    yield rates(f"{taken.resnet50} {name} by hand", "images/s", taken.batch, measured.theirs_s)


def grouped(fake: bool) -> Iterator[Found]:
    """Measure what groups add to a step of ResNet-50: as a worker of a team with one group of the batch each, and as
    one process with two groups.
    """
    device, taken = device_of(fake), sizes(fake)
    split, group = imagenet(taken, device), taken.group
    pairs = {"one group a worker": (OneOfTwo(0, 2), 1), "two groups": (OneOfTwo(0, 1), 2)}
    for name, (team, times) in pairs.items():
        in_groups = a_run(
            split, taken.resnet50, 1000, 2 * group, "none", team=team, batch_norm_group=group, **SGD, **FAST
        )
        plain = a_run(split, taken.resnet50, 1000, group, "none", **SGD, **FAST)
        measured = side_by_side(in_groups, plain, taken.resnet50_steps, device, taken.repeats)
        extra = [
            1e3 * (ours - times * alone) for ours, alone in zip(measured.ours_s, measured.theirs_s, strict=True)
        ]  # fmt: skip
        most = None if fake else 0.3 * times
        yield figure(f"{name} of {group}: more than {times} plain step(s)", "ms", extra, most=most)


def lenets(fake: bool) -> Iterator[Found]:
    """Measure a LeNet at batch 60 with Adam and 21 % of its weights: captured, eager, and many at a time."""
    device, taken = device_of(fake), sizes(fake)
    split = random_split(taken.images, (1, 28, 28), 10, device)
    ours, eager = (lenet_run(split, taken, 0) for _ in range(2))
    ours.stepper = Captured(ours)
    measured = side_by_side(ours, eager, taken.lenet_steps, device, taken.repeats)
    yield rates(f"{taken.lenet} captured", "steps/s", 1, measured.ours_s, expected="9,000 - 13,000")
    yield rates(f"{taken.lenet} eager", "steps/s", 1, measured.theirs_s)
    yield quotient(f"{taken.lenet} captured, of eager", measured, least=None if fake else 2.0)
    for count, expected in zip(taken.replicates, ("100,000", "150,000 - 190,000", "170,000 - 210,000"), strict=False):
        yield many(split, taken, count, device, expected)


def many(split: Split, taken: Sizes, count: int, device: torch.device, expected: str) -> Figure:
    """Measure so many of the same LeNet, each with weights, a mask and an order of its own: steps of all of
    them a second.
    """
    replicates = replicate([lenet_run(split, taken, number) for number in range(count)])
    number = taken.together_steps
    seconds = turns(lambda: train_together(replicates, replicates.step + number), device, taken.repeats)
    return rates(f"{count} x {taken.lenet} together", "steps/s", count * number, seconds, expected=expected)


def resnet20(fake: bool) -> Iterator[Found]:
    """Measure augmented ResNet-20: bf16, channels_last and captured beside plain fp32; a few together and in turn."""
    device, taken = device_of(fake), sizes(fake)
    batch = taken.resnet20_batch
    split = random_split(64 * batch, (3, 32, 32), 10, device)

    def a_resnet(seed: int = 0, **given: Any) -> Run:
        return a_run(split, taken.resnet20, 10, batch, "crop_flip", seed=seed, **SGD, **given)

    plain, fast = a_resnet(), a_resnet(**FAST)
    fast.stepper = Captured(fast)
    measured = side_by_side(fast, plain, taken.resnet20_steps, device, taken.repeats)
    yield rates(f"{taken.resnet20} bf16 channels_last captured", "images/s", batch, measured.ours_s)
    yield rates(f"{taken.resnet20} fp32 eager", "images/s", batch, measured.theirs_s)
    yield quotient(f"{taken.resnet20} captured, of fp32 eager", measured)
    number = max(1, taken.resnet20_steps // taken.few)
    sides = [made([a_resnet(seed) for seed in range(taken.few)]) for made in (replicate, in_turn)]

    def work(side: int) -> None:
        train_together(sides[side], sides[side].step + number)
        wait(device)

    measured = paired(partial(work, 0), partial(work, 1), pairs=taken.repeats, units=(number, number), warmups=1)
    yield quotient(f"{taken.few} x {taken.resnet20} together, of in turn", measured)

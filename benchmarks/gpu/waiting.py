"""The causes for which a GPU waits: operations that synchronise, growing memory, input, evaluations, checkpoints."""

import gc
import io
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.gpu.report import NEEDS_CUDA, Fact, Found, figure, rates
from benchmarks.gpu.setup import (
    FAST,
    SGD,
    OneOfTwo,
    Sizes,
    a_run,
    device_of,
    imagenet,
    lenet_run,
    random_split,
    sizes,
    turns,
    wait,
)
from lth_ray import data
from lth_ray.config import Data
from lth_ray.data import Split
from lth_ray.data.packed.packing import Options, finish, pack_piece, plan_packing
from lth_ray.lottery.execution.checkpoints import Checkpoints
from lth_ray.store import Store
from lth_ray.store.local import LocalFiles
from lth_ray.training import Run, replicate, train, train_together
from lth_ray.training.compiled.captured import Captured
from lth_ray.training.loop import is_finite

STEPS, WARM = 20, 3
WAITS = ("aten::_local_scalar_dense", "aten::item", "aten::is_nonzero", "aten::nonzero")


class Waiting(TorchDispatchMode):
    """Counts operations for which a process waits for its device."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function.name() in WAITS:
            self.found.append(function.name())
        return function(*args, **(kwargs or {}))


def syncs(fake: bool) -> Iterator[Found]:
    """Take 20 steps in each way after a few that warm up: none may wait for the device."""
    device, taken = device_of(fake), sizes(fake)
    for name, take in ways(taken, device).items():
        take(WARM)
        wait(device)
        try:
            waited = waits(lambda take=take: take(STEPS if not fake else 2), device)  # type: ignore[misc]
        except RuntimeError as error:
            waited = f"waits: {str(error).partition(chr(10))[0]}"
        yield Fact(f"{STEPS} steps, {name}", waited or "no step waits", not waited)


def ways(taken: Sizes, device: torch.device) -> dict[str, Callable[[int], object]]:
    """Return what takes so many steps in each of the ways that there are."""
    many = 2 * taken.group * (WARM + STEPS + 2)  # an epoch's order is sent when it begins, which waits: none begins
    large = random_split(many, (3, taken.few_pixels, taken.few_pixels), 1000, device)
    small = random_split(taken.images, (1, 28, 28), 10, device)
    eager, grouped = (
        a_run(large, taken.resnet50, 1000, 2 * taken.group, "none", team=team, **given, **SGD, **FAST)
        for team, given in ((OneOfTwo(0, 1), {}), (OneOfTwo(0, 2), {"batch_norm_group": taken.group}))
    )
    one, several = lenet_run(small, taken, 0), replicate([lenet_run(small, taken, seed) for seed in range(taken.few)])
    one.stepper = Captured(one)
    return {
        f"{taken.resnet50} eager": lambda number: train(eager, eager.step + number),
        f"{taken.resnet50} as a worker of a team": lambda number: train(grouped, grouped.step + number),
        f"{taken.lenet} captured": lambda number: train(one, one.step + number),
        f"{taken.few} x {taken.lenet} together": lambda number: train_together(several, several.step + number),
    }


def waits(work: Callable[[], object], device: torch.device) -> str:
    """Return what waits in `work`, or nothing."""
    if device.type != "cuda":
        with Waiting() as seen:
            work()
        return ", ".join(sorted(set(seen.found)))
    torch.cuda.set_sync_debug_mode("error")
    try:
        work()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return ""


def memory(fake: bool) -> Iterator[Found]:
    """Train and forget captured networks one after another: what is held must not grow."""
    device, taken = device_of(fake), sizes(fake)
    split = random_split(taken.images, (1, 28, 28), 10, device)
    held, reserved = [], []
    for seed in range(taken.captures):
        one = lenet_run(split, taken, seed)
        one.stepper = Captured(one)
        train(one, taken.captured_steps)
        one.stepper.close()
        del one
        gc.collect()
        wait(device)
        held.append(0.0 if fake else torch.cuda.memory_allocated() / 1e6)
        reserved.append(0.0 if fake else torch.cuda.memory_reserved() / 1e6)
    if fake:
        yield Fact("memory after captures", NEEDS_CUDA)
        return
    told = ", ".join(f"{value:.1f}" for value in held)
    yield Fact(f"MB held after each of {taken.captures} captures", told, held[-1] <= held[1] + 1)
    yield Fact("MB reserved", ", ".join(f"{value:.0f}" for value in reserved), reserved[-1] <= reserved[1] + 64)


def loaders(fake: bool) -> Iterator[Found]:
    """Measure packed images that reach the device in training and in evaluation, decoded by so many processes; and
    copies from the host.
    """
    device, taken = device_of(fake), sizes(fake)
    if fake:
        yield Fact("copy from pinned memory", NEEDS_CUDA)
    else:
        source = torch.zeros(taken.copied_mb << 18, dtype=torch.uint8).pin_memory()
        target = torch.empty_like(source, device=device)
        seconds = turns(lambda: target.copy_(source, non_blocking=True), device, taken.repeats)
        yield rates("copy from pinned memory", "GB/s", 1e-9 * source.numel(), seconds, expected="50")
    batch = max(2, taken.jpegs // 12)
    with tempfile.TemporaryDirectory() as folder:
        packed = some_jpegs(Path(folder), taken)
        config = Data(f"packed:{packed}", batch_size=batch, validation=0, augment="resized_crop_flip")
        for number in taken.loaders:
            dataset = data.load(config, device=device, loaders=number)
            batches = data.training_batches(dataset, config, 0, 0)
            block, found = max(4, number), []
            for step in range(1 + 2 * number):  # until as much is ready as ever is
                batches.batch(step)
            for first in range(1 + 2 * number, 1 + 2 * number + 3 * block, block):
                began = time.perf_counter()
                for step in range(first, first + block):
                    batches.batch(step)
                wait(device)
                found.append(time.perf_counter() - began)
            batches.close()
            expected = f"{400 * max(1, number):,} - {600 * max(1, number):,}"
            yield rates(f"packed images, {number} loaders", "images/s", batch * block, found, expected=expected)
            yield from evaluations(dataset, number, device)


def evaluations(dataset: data.Dataset, number: int, device: torch.device) -> Iterator[Found]:
    """Measure a pass over packed images in their order, which starts loaders of its own each time."""
    first, whole = [], []
    for _ in range(3):
        began, reached = time.perf_counter(), 0.0
        for _batch in data.evaluation_batches(dataset.train, dataset.mean, dataset.std):
            reached = reached or time.perf_counter() - began
        wait(device)
        first.append(1e3 * reached)
        whole.append(time.perf_counter() - began)
    yield figure(f"an evaluation's first batch, {number} loaders", "ms", first)
    yield rates(f"evaluated packed images, {number} loaders", "images/s", len(dataset.train), whole)


def some_jpegs(folder: Path, taken: Sizes) -> Path:
    """Write smooth random JPEGs of the usual size, and pack them."""
    from PIL import Image

    height, width = taken.side_of_jpegs
    generator = torch.Generator().manual_seed(0)
    for split, count in (("train", taken.jpegs), ("test", 2)):
        place = folder / "jpegs" / split / "class"
        place.mkdir(parents=True)
        for number in range(count):
            coarse = torch.rand(1, 3, height // 6, width // 6, generator=generator)
            pixels = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)[0]
            image = Image.fromarray((255 * pixels).byte().permute(1, 2, 0).numpy())
            kept = io.BytesIO()
            image.save(kept, "JPEG", quality=92)
            (place / f"{number}.jpg").write_bytes(kept.getvalue())
    packing, files = plan_packing(folder / "jpegs", Options(None, shard_mb=8)), LocalFiles(str(folder / "packed"))
    finish(packing, {piece.name: pack_piece(piece, files) for piece in packing.pieces}, files, skip_corrupt=False)
    return folder / "packed"


def pauses(fake: bool) -> Iterator[Found]:
    """Measure what training waits for at a pause of ResNet-50: finite weights, an evaluation, a checkpoint's copy."""
    device, taken = device_of(fake), sizes(fake)
    run = a_run(imagenet(taken, device), taken.resnet50, 1000, taken.batch, "none", **SGD, **FAST)
    train(run, 2)
    wait(device)
    finite = turns(lambda: is_finite(run), device, taken.repeats)
    yield figure("are all weights finite?", "ms", [1e3 * s for s in finite], most=None if fake else 1.0)
    test = random_split(taken.evaluated, (3, taken.side, taken.side), 1000, device)
    yield evaluated(run, test, taken, device)
    with tempfile.TemporaryDirectory() as folder, Checkpoints(Store.open(folder)) as checkpoints:
        copied = []
        for _ in range(max(2, taken.repeats // 2)):
            run.step += 1
            began = time.perf_counter()
            checkpoints.save(("benchmark", run, {}))
            copied.append(1e3 * (time.perf_counter() - began))
            checkpoints.wait()
    yield figure("a checkpoint's copy to the host", "ms", copied)


def evaluated(run: Run, test: Split, taken: Sizes, device: torch.device) -> Found:
    dataset = data.Dataset(test, None, test, 1000, tuple(test.images.shape[1:]), (0.5,) * 3, (0.5,) * 3, "random")  # type: ignore[arg-type]
    seconds = turns(lambda: run.stepper.evaluate(dataset, test), device, taken.repeats)
    return rates("evaluation of resident images", "images/s", len(test), seconds)

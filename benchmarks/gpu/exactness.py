"""Bits: captured steps against eager ones, and the same training twice in processes of their own."""

import hashlib
import time
from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.gpu.report import Fact, Found
from benchmarks.gpu.setup import FAST, SGD, a_run, bits, device_of, lenet_run, random_split, sizes, wait
from benchmarks.isolated import alone
from lth_ray.training import Run, train
from lth_ray.training.compiled.captured import Captured

STEPS, TIMED, LIMIT_S = 5, 10, 150.0
OFF = {"TORCHINDUCTOR_DETERMINISTIC": "0"}


def equal(fake: bool) -> Iterator[Found]:
    """Compare 200 captured steps of a LeNet with as many eager ones."""
    device, taken = device_of(fake), sizes(fake)
    split = random_split(taken.images, (1, 28, 28), 10, device)
    ours, eager = (lenet_run(split, taken, 0) for _ in range(2))
    ours.stepper = Captured(ours)
    for stop in (1, taken.captured_steps):
        for run in (ours, eager):
            train(run, stop)
        same = bits(held(ours)) == bits(held(eager))
        far = max(float((a.double() - b.double()).abs().max()) for a, b in zip(held(ours), held(eager), strict=True))
        words = "the same bits" if same else f"differ by up to {far:.3g}"
        yield Fact(f"{stop} captured and eager steps of {taken.lenet}", words, same)


def held(run: Run) -> list[torch.Tensor]:
    moments = [value for state in run.optimizer.state.values() for value in state.values()]
    return [*run.model.state_dict().values(), *moments, run.loss_sum]


def twice(fake: bool) -> Iterator[Found]:
    """Train a network twice, in two new processes: eager and compiled, with what fixes the order of sums and
    without; and tell what that costs.
    """
    for compiled in (False, True):
        seconds = {}
        for fixed in (True, False):
            given = {"fake": fake, "compiled": compiled, "fixed": fixed}
            runs = [
                alone("benchmarks.gpu.exactness:digest", given, LIMIT_S, environment={} if fixed else OFF)
                for _ in range(2)
            ]
            name = f"{'compiled' if compiled else 'eager'}, deterministic {'on' if fixed else 'off'}: twice"
            if broken := next((run.why for run in runs if run.why), None):
                yield Fact(name, f"broken: {broken}", False)
                continue
            found = [run.rows[0] for run in runs]
            same = found[0]["digest"] == found[1]["digest"]
            yield Fact(name, "the same bits" if same else "other bits", same if fixed else None)
            seconds[fixed] = min(one["seconds"] for one in found)
        if len(seconds) == 2:
            more = 100 * (seconds[True] / seconds[False] - 1)
            yield Fact(f"{'compiled' if compiled else 'eager'}: a step takes longer, deterministic", f"{more:+.1f} %")


def digest(fake: bool, compiled: bool, fixed: bool) -> Iterator[dict[str, Any]]:
    """Yield a digest of what some steps make of a network, and the seconds that one takes."""
    device, taken = device_of(fake), sizes(fake)
    split = random_split(4 * taken.bits_batch, (3, taken.side, taken.side), 1000, device)
    run = a_run(
        split, taken.bits, 1000, taken.bits_batch, "none", compile=compiled and taken.compile, **SGD, **FAST
    )  # fmt: skip
    torch.backends.cudnn.deterministic = fixed
    for group in run.optimizer.param_groups:
        group["lr"] = 0.1
    train(run, STEPS)
    found = hashlib.sha256(bits(held(run))).hexdigest()
    wait(device)
    began = time.perf_counter()
    train(run, run.step + (1 if fake else TIMED))
    wait(device)
    yield {"digest": found, "seconds": (time.perf_counter() - began) / (1 if fake else TIMED)}

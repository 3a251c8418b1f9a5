"""`python -m benchmarks.gpu [NAME ...] [--json FILE] [--minutes N] [--fake]`: ten minutes on one GPU.

Each check has a process and a time limit of its own, so that an error that leaves a process no GPU, memory that runs
out or a hang takes that check alone. The most telling come first. The file, and a table beside it that ends in .txt,
are whole after each line that is found. --fake takes every check tiny on a CPU, which tries its code and measures
nothing. Needs neither Ray nor MLflow.
"""

import argparse
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.report import as_row, heading, line, read, summary, write
from benchmarks.isolated import Row, alone

START_S, MINUTES = 5.0, 10.0  # below the one no check begins; the other in all
STOPPED = "the list was stopped by a signal"
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
FAKE_TIMES = 10.0  # as long may a check take on a CPU, which other work may share


@dataclass(frozen=True)
class Check:
    """A question to a GPU. call: the function that answers it. limit_s: seconds after which it is ended."""

    name: str
    what: str
    call: str
    limit_s: float
    given: dict[str, Any] = field(default_factory=dict)


CHECKS = (
    Check("ceilings", "versions, flags, the GPU at best", "benchmarks.gpu.steps:ceilings", 60),
    Check(
        "resnet50", "ResNet-50 beside a loop by hand, eager", "benchmarks.gpu.steps:resnet50", 90, {"compiled": False}
    ),
    Check(
        "compiled",
        "ResNet-50 beside a loop by hand, compiled",
        "benchmarks.gpu.steps:resnet50",
        240,
        {"compiled": True},
    ),
    Check("equal", "captured and eager steps", "benchmarks.gpu.exactness:equal", 60),
    Check("syncs", "steps that wait for the GPU", "benchmarks.gpu.waiting:syncs", 90),
    Check("lenets", "LeNet captured, and many at a time", "benchmarks.gpu.steps:lenets", 120),
    Check("grouped", "what groups and a team add to a step", "benchmarks.gpu.steps:grouped", 90),
    Check("memory", "memory from capture to capture", "benchmarks.gpu.waiting:memory", 60),
    Check("resnet20", "ResNet-20 captured, and a few at a time", "benchmarks.gpu.steps:resnet20", 90),
    Check("twice", "the same bits in two processes", "benchmarks.gpu.exactness:twice", 240),
    Check("loaders", "decoded images that reach the GPU", "benchmarks.gpu.waiting:loaders", 90),
    Check("pauses", "evaluations and checkpoints", "benchmarks.gpu.waiting:pauses", 60),
    *(
        Check(file.removesuffix(".py"), f"tests/gpu/{file}", "benchmarks.gpu.suites:tests", 180, {"file": file})
        for file in ("test_captured.py", "test_replicates.py", "test_resnet50.py")
    ),
)
NAMES = tuple(check.name for check in CHECKS)


def run(checks: Sequence[Check], fake: bool, target: Path | None, minutes: float) -> dict[str, Any]:
    """Make each check, print what it finds as it comes, and return all of it; `target` is written whenever there is
    more. A KeyboardInterrupt ends what runs and begins nothing more.
    """
    began = time.monotonic()
    made: list[dict[str, Any]] = [
        {"name": one.name, "what": one.what, "state": "not begun", "why": None, "seconds": 0.0, "rows": []}
        for one in checks
    ]
    document = {"fake": fake, "torch": torch.__version__, "cuda": torch.version.cuda, "checks": made}

    def keep() -> None:
        if target is not None:
            write(document, target)

    def make(one: Check, its: dict[str, Any], left: float) -> None:
        def on_row(row: Row) -> None:
            its["rows"].append(as_row(read(row)))
            print(line(its["rows"][-1]), flush=True)
            keep()

        its["state"] = "begun"
        print(heading(its), flush=True)
        keep()
        given = {"fake": fake, **one.given}
        ended = alone(one.call, given, min(one.limit_s * (FAKE_TIMES if fake else 1), left), on_row=on_row)
        its |= {"state": "broken" if ended.why else "done", "why": ended.why, "seconds": round(ended.seconds, 1)}
        if ended.why:
            print(f"  broken: {ended.why}", flush=True)

    keep()
    try:
        for one, its in zip(checks, made, strict=True):
            left = 60 * minutes - (time.monotonic() - began)
            if left >= START_S:
                make(one, its, left)
            else:
                its["why"] = f"{minutes:g} minutes were over"
            keep()
    except KeyboardInterrupt:
        for its in made:
            if its["state"] in ("begun", "not begun"):
                its["why"] = its["why"] or STOPPED
        keep()
    return document


@contextmanager
def stoppable() -> Iterator[None]:
    """Have the first signal that asks the process to end raise KeyboardInterrupt; further ones do not disturb its end,
    which takes ten seconds at most.
    """

    def stop(number: int, frame: object) -> None:
        for one in ENDING:
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {one: signal.signal(one, stop) for one in ENDING}
    try:
        yield
    finally:
        for one, was in before.items():
            signal.signal(one, was)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the checks that are named, or all; 1 where one broke."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)} (default: all)")
    parser.add_argument(
        "--json",
        type=Path,
        help="write what is found to this file, whenever there is more, and as a table to FILE with the ending .txt",
    )
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"end after so many (default {MINUTES:g})")
    parser.add_argument("--fake", action="store_true", help="every check tiny, on a CPU: measures nothing")
    given = parser.parse_args(arguments)
    for name in set(given.names) - set(NAMES):
        parser.error(f"{name}: there is no such check; give one of {', '.join(NAMES)}")
    if not given.fake and not torch.cuda.is_available():
        print(
            "there is no GPU here (torch.cuda.is_available() is False): nothing was measured; --fake tries the checks "
            "on a CPU"
        )
        return 0
    checks = [check for check in CHECKS if not given.names or check.name in given.names]
    with stoppable():
        document = run(checks, given.fake, given.json, given.minutes)
    print(*summary(document), sep="\n")
    return int(any(one["state"] != "done" for one in document["checks"]))


if __name__ == "__main__":
    sys.exit(main())

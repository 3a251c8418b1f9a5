"""Rows that tests have measured in a process of its own; this imports little."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator


def counting(number: int) -> Iterator[dict[str, int]]:
    yield from ({"number": n} for n in range(number))
    time.sleep(0.5)  # so that its memory is looked at


def breaking() -> Iterator[dict[str, int]]:
    yield {"number": 1}
    raise ValueError("no such GPU")


def dying() -> Iterator[dict[str, int]]:
    yield {"number": 1}
    print("the driver says so", file=sys.stderr, flush=True)
    os.kill(os.getpid(), 9)


def hanging(held: str) -> Iterator[dict[str, int]]:
    yield {"number": subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", held]).pid}
    time.sleep(600)


def leaving(held: str) -> Iterator[dict[str, int]]:
    yield {"number": subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", held]).pid}
    os.kill(os.getpid(), 9)


def figures(fake: bool) -> Iterator[dict[str, object]]:
    shared = {"spread": (1.0, 3.0), "n": 2, "most": None, "expected": "9 - 10"}
    yield {"kind": "Figure", "name": "a step", "unit": "x", "value": 2.0, "least": 5.0, **shared}
    yield {"kind": "Fact", "name": "fake", "value": str(fake), "holds": None}


def stuck(fake: bool) -> Iterator[dict[str, object]]:
    time.sleep(600)
    yield {}


def poisoned(fake: bool) -> Iterator[dict[str, object]]:
    yield {"kind": "Fact", "name": "bits", "value": "the same", "holds": True}
    os.kill(os.getpid(), 6)

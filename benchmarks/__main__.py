"""`python -m benchmarks [NAME ...] [--json FILE] [--pairs N]`: runs the benchmarks named, or all; prints a table.

Each has a process of its own, one after another. What was skipped and why, what missed its target and by how much, and
what broke is said below the table; only what broke makes the exit status 1.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.ceiling import ceiling
from benchmarks.isolated import Ended, alone
from benchmarks.suite import DATA_ROOT, NAMES, read
from benchmarks.timing import Entry, Line, Skipped
from lth_ray.training import environment

WIDTH = 160  # of a table in a file
LIMIT_S = 600.0  # of a benchmark


def table(entries: Sequence[Entry]) -> Table:
    """Return what was measured, as a reader wants it."""
    shown = Table(title="medians of interleaved pairs")
    for heading in ("what", "measured", "quartiles", "target", "", "of ceiling", "ours, ms", "theirs, ms", "n"):
        shown.add_column(heading, justify="left" if heading == "what" else "right")
    for entry in entries:
        colour = "green" if entry.met else "red"
        shown.add_row(
            entry.name,
            f"[{colour}]{entry.value:.3g} {entry.unit}[/]",
            f"{entry.spread[0]:.3g} - {entry.spread[1]:.3g}",
            goal(entry),
            "met" if entry.met else "missed",
            "" if entry.of_ceiling is None else f"{entry.of_ceiling:.3g} %",
            f"{entry.ours_ms:.3f}",
            "" if entry.theirs_ms is None else f"{entry.theirs_ms:.3f}",
            str(entry.n),
        )
    return shown


def goal(entry: Entry) -> str:
    return f"{'>=' if entry.at_least else '<='} {entry.target:g}"


def remarks(lines: Sequence[Line], ended: Mapping[str, Ended]) -> list[str]:
    """Return a sentence on each line that missed its target or was skipped, and on each benchmark that broke."""
    said = []
    for line in lines:
        if isinstance(line, Skipped):
            said.append(f"skipped: {line.name}: {line.why}")
        elif not line.met:
            low, high = line.spread
            said.append(
                f"missed: {line.name}: {line.value:.3g} {line.unit} ({low:.3g} - {high:.3g}, n = {line.n}), "
                f"target {goal(line)}"
            )
    return said + [f"broken: {name}: {one.why}" for name, one in ended.items() if one.why]


def document(lines: Sequence[Line], ended: Mapping[str, Ended]) -> dict[str, Any]:
    """Return all figures as plain data, with the environment they were taken in."""
    entries = [line for line in lines if isinstance(line, Entry)]
    return {
        "environment": environment("cpu"),
        "machine": platform.machine(),
        "ceiling": asdict(ceiling()),
        "entries": [{**asdict(entry), "met": entry.met} for entry in entries],
        "skipped": [asdict(line) for line in lines if isinstance(line, Skipped)],
        "benchmarks": {
            name: {"seconds": round(one.seconds, 1), "memory_mb": round(one.memory_mb), "broken": one.why}
            for name, one in ended.items()
        },
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks; --json also writes them, after each, with the environment they were taken in."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)} (default: all)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--pairs", type=int, default=200, help="interleaved pairs of measurements (default 200)")
    parser.add_argument("--data-root", default="data", help="where MNIST, CIFAR-10 and imagenet_sample are")
    given = parser.parse_args(arguments)
    if given.pairs < 2:
        parser.error(f"--pairs {given.pairs}: give at least 2, a spread needs them")
    for name in set(given.names) - set(NAMES):
        parser.error(f"{name}: there is no such benchmark; give one of {', '.join(NAMES)}")
    os.environ[DATA_ROOT] = str(Path(given.data_root).expanduser().absolute())
    found = ceiling()
    lines: list[Line] = []
    ended: dict[str, Ended] = {}
    for name in given.names or NAMES:
        print(f"{name} ...", end=" ", flush=True)
        one = ended[name] = alone("benchmarks.suite:measured", {"name": name, "pairs": given.pairs}, LIMIT_S)
        print(f"{one.seconds:.0f} s, {one.memory_mb / 1e3:.2f} GB{', broken' if one.why else ''}", flush=True)
        lines += [read(row) for row in one.rows]
        if given.json:
            given.json.parent.mkdir(parents=True, exist_ok=True)
            given.json.write_text(json.dumps(document(lines, ended), indent=1) + "\n")
    shown = [line for line in lines if isinstance(line, Entry)]
    Console(width=None if sys.stdout.isatty() else WIDTH).print(table(shown))
    print(*remarks(lines, ended), sep="\n")
    print(f"ceiling of one thread: products {found.matmul_gflops:.0f} GFLOP/s, copies {found.copy_gbs:.1f} GB/s")
    most = max(ended, key=lambda name: ended[name].memory_mb)
    print(
        f"{sum(one.seconds for one in ended.values()):.0f} s in all; "
        f"at most {ended[most].memory_mb / 1e3:.2f} GB of memory at a time, by {most}"
    )
    return int(any(one.why for one in ended.values()))


if __name__ == "__main__":
    sys.exit(main())

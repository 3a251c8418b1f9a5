"""`python -m benchmarks.scale [--tickets N ...] [--stages NAME ...]`: what a study of so many tickets costs, beside
its training.

A simulated study (simulated.py) goes through each stage (stages.py) in a process of its own, whose processor time and
largest memory are taken; what the process imports and the plan that a stage works on are left out of the time, not of
the memory. The exponent is that of a power of the number of tickets, fitted to the sizes: 1 is linear. The processor
time counts, as a machine's other work makes the rest longer.
"""

import argparse
import json
import math
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.isolated import Row, alone
from benchmarks.scale.stages import STAGES, Facts

SIZES = (1_000, 3_000, 10_000)


@dataclass(frozen=True)
class Taken:
    """The time and memory that a stage took of its process.

    facts: what there was of what it made.
    """

    stage: str
    tickets: int
    cpu_s: float
    wall_s: float
    peak_mb: float
    facts: Facts


def taken(stage: str, tickets: int, folder: str) -> Iterator[Row]:
    """Do a stage in this process; yield what it took."""
    from lth_ray import collector

    collector.relax()  # as every command does
    work = STAGES[stage](tickets, folder)
    cpu, wall = time.process_time(), time.monotonic()
    facts = work()
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    yield asdict(Taken(stage, tickets, cpu, wall, peak_mb, facts))


def in_a_process(stage: str, tickets: int, folder: str) -> Taken:
    """Do a stage in a process of its own, however long it takes; end with what it says where it breaks."""
    given = {"stage": stage, "tickets": tickets, "folder": folder}
    ended = alone("benchmarks.scale.__main__:taken", given, math.inf)
    if ended.why:
        raise SystemExit(f"{stage} of {tickets:,} tickets: {ended.why}")
    return Taken(**ended.rows[0])


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Return the power of the size by which the cost grows, of least squares over the logarithms; NaN of one size."""
    if len(sizes) < 2:
        return math.nan
    x, y = [math.log(size) for size in sizes], [math.log(max(cost, 1e-3)) for cost in costs]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    above = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return above / sum((a - mean_x) ** 2 for a in x)


def table(found: Sequence[Taken]) -> Table:
    """Return a row a stage: at each size the processor time a ticket, and the process's largest memory."""
    sizes = sorted({one.tickets for one in found})
    shown = Table(title="processor ms a ticket (largest memory)")
    for heading in ("stage", *(f"{size:,} tickets" for size in sizes), "exponent", "of the largest"):
        shown.add_column(heading)
    for stage in dict.fromkeys(one.stage for one in found):
        own = {one.tickets: one for one in found if one.stage == stage}
        cells = [
            f"{1e3 * own[size].cpu_s / size:.3g} ({own[size].peak_mb / 1e3:.2f} GB)" if size in own else ""
            for size in sizes
        ]
        power = exponent([*own], [one.cpu_s for one in own.values()])
        last = own[max(own)]
        facts = ", ".join(f"{name} {value:,.0f}" for name, value in last.facts.items())
        shown.add_row(stage, *cells, f"{power:.2f}", f"{last.cpu_s:.1f} s; {facts}")
    return shown


def main() -> None:
    """Take the stages at every size; print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--tickets", type=int, nargs="+", default=[*SIZES], help="sizes (default: 1000 3000 10000)")
    parser.add_argument("--stages", nargs="+", choices=[*STAGES], default=[*STAGES], help="those (default: all)")
    parser.add_argument("--storage", type=Path, help="a folder to work in (default: a temporary one)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args()
    found: list[Taken] = []
    place = given.storage and given.storage.absolute()
    with tempfile.TemporaryDirectory(prefix="lth_", dir=place, ignore_cleanup_errors=True) as folder:
        for tickets in sorted(given.tickets):
            for stage in given.stages:
                found.append(in_a_process(stage, tickets, f"{folder}/{tickets}"))
                print(json.dumps(asdict(found[-1])), flush=True)
                if given.json:
                    given.json.write_text(json.dumps([asdict(one) for one in found], indent=1) + "\n")
    Console(width=None if sys.stdout.isatty() else 200).print(table(found))


if __name__ == "__main__":
    main()

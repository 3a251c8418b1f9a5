"""`python -m benchmarks [NAME ...] [--json FILE] [--pairs N]`: runs the benchmarks named, or all; prints a table."""

import argparse
import json
import platform
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from benchmarks import (
    cifar_step,
    encoder_step,
    games,
    input,
    language_step,
    lenet_step,
    mask_share,
    overhead,
    scheduler_cost,
    shrunk_step,
    sparse_step,
    state_io,
    train_throughput,
    whole_figure,
)
from benchmarks.ceiling import ceiling
from benchmarks.timing import Entry
from lth_ray.training import environment
from lth_ray.training.process import keep_memory

WIDTH = 160  # of a table in a file
BENCHMARKS = {
    module.__name__.rpartition(".")[-1]: module.entries
    for module in (
        lenet_step,
        cifar_step,
        encoder_step,
        shrunk_step,
        sparse_step,
        language_step,
        whole_figure,
        input,
        state_io,
        mask_share,
        scheduler_cost,
        train_throughput,
        games,
        overhead,
    )
}  # fmt: skip


def table(entries: list[Entry]) -> Table:
    """Return what was measured, as a reader wants it."""
    shown = Table(title="medians of interleaved pairs")
    for heading in ("what", "measured", "quartiles", "target", "of ceiling", "ours, ms", "theirs, ms", "n"):
        shown.add_column(heading, justify="left" if heading == "what" else "right")
    for entry in entries:
        colour = "green" if entry.met else "red"
        shown.add_row(
            entry.name,
            f"[{colour}]{entry.value:.3g} {entry.unit}[/]",
            f"{entry.spread[0]:.3g} - {entry.spread[1]:.3g}",
            f"{'>=' if entry.at_least else '<='} {entry.target:g}",
            "" if entry.of_ceiling is None else f"{entry.of_ceiling:.3g} %",
            f"{entry.ours_ms:.3f}",
            "" if entry.theirs_ms is None else f"{entry.theirs_ms:.3f}",
            str(entry.n),
        )
    return shown


def main() -> None:
    """Run the benchmarks; --json also writes them, with the environment they were taken in."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--pairs", type=int, default=200, help="interleaved pairs of measurements (default 200)")
    arguments = parser.parse_args()
    if arguments.pairs < 2:
        parser.error(f"--pairs {arguments.pairs}: give at least 2, a spread needs them")
    for name in set(arguments.names) - set(BENCHMARKS):
        parser.error(f"{name}: there is no such benchmark; give one of {', '.join(BENCHMARKS)}")
    keep_memory()  # as every process of a study that trains
    torch.set_num_threads(1)
    found = ceiling()
    entries = [entry for name in arguments.names or BENCHMARKS for entry in BENCHMARKS[name](arguments.pairs)]
    Console(width=None if sys.stdout.isatty() else WIDTH).print(table(entries))
    print(f"ceiling of one thread: products {found.matmul_gflops:.0f} GFLOP/s, copies {found.copy_gbs:.1f} GB/s")
    if arguments.json:
        figures = [{**asdict(entry), "met": entry.met} for entry in entries]
        document = {
            "environment": environment("cpu"), "machine": platform.machine(), "ceiling": asdict(found),
            "entries": figures,
        }  # fmt: skip
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()

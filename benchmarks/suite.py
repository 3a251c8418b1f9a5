"""The benchmarks by name, and one of them measured."""

import importlib
import os
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from benchmarks.timing import Entry, Line, Skipped
from lth_ray.training.process import keep_memory

NAMES = (
    "lenet_step", "cifar_step", "encoder_step", "shrunk_step", "sparse_step", "language_step", "whole_figure", "input",
    "mask_share", "state_io", "scheduler_cost", "train_throughput", "games", "overhead",
)  # fmt: skip
DATA_ROOT = "LTH_RAY_BENCH_DATA"


def data_root() -> Path:
    """Return the folder in which benchmarks look for data: what --data-root says."""
    return Path(os.environ.get(DATA_ROOT, "data")).expanduser().absolute()


def measured(name: str, pairs: int) -> Iterator[Line]:
    """Yield the lines of a benchmark, in a process like those of a study that trains."""
    keep_memory()
    torch.set_num_threads(1)
    yield from importlib.import_module(f"benchmarks.{name}").entries(pairs)


def read(row: dict[str, Any]) -> Line:
    """Return the line that was written as plain data."""
    kind = Skipped if row["kind"] == Skipped.__name__ else Entry
    given = {field.name: row[field.name] for field in fields(kind)}
    if kind is Entry:
        given["spread"] = tuple(given["spread"])
    return kind(**given)

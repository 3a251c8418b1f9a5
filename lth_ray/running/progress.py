"""Live progress: a table in a terminal, plain lines elsewhere."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from lth_ray.lottery import Job, Plan

LINE_EVERY_S = 10.0
SHOWN_LINEAGES = 16


class Board:
    """How far a run is. `on_task` is called as tasks finish; rendering happens elsewhere and only reads."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.began = plan, time.monotonic()
        self.total_steps = plan.remaining_steps
        self.done_steps = self.trainings = 0
        self.total_trainings = sum(job.kind != "table" for job in plan.jobs for _ in job.tasks)
        self.lineages: dict[str, tuple[int, int, dict[str, Any]]] = {}  # id -> tasks done, tasks, last result
        self.ended: dict[str, str] = {}
        for job in plan.jobs:
            if job.kind == "lineage":
                self.lineages[job.id] = (0, len(job.tasks), {})
        self.last: tuple[str, dict[str, Any]] | None = None

    def on_task(self, job: Job, result: dict[str, Any]) -> None:
        """A task of `job` is in the store."""
        task = next(task for task in job.tasks if task.key == result["key"])
        self.done_steps += task.num_steps
        self.trainings += job.kind != "table"
        self.last = (job.id, result)
        if job.id in self.lineages:
            done, total, _ = self.lineages[job.id]
            self.lineages[job.id] = (done + 1, total, result)

    def on_end(self, job: Job, reason: str) -> None:
        """A job will not be finished."""
        self.ended[job.id] = reason

    def describe(self, result: dict[str, Any]) -> str:
        """A finished training in few words, without an accuracy where that would mean nothing."""
        if self.plan.study.smoke_shows == "pipeline" and result["remaining_weights"] is not None:
            return f"{result['remaining_weights']:.1%} remaining"
        return describe(result)

    @property
    def seconds_left(self) -> float | None:
        """By the pace so far."""
        if not self.done_steps:
            return None
        elapsed = time.monotonic() - self.began
        return elapsed / self.done_steps * (self.total_steps - self.done_steps)

    def line(self) -> str:
        """One line: where the run is."""
        finished = sum(done == total for done, total, _ in self.lineages.values())
        text = (
            f"{self.trainings}/{self.total_trainings} trainings, {finished}/{len(self.lineages)} lineages, "
            f"{self.done_steps / max(1, self.total_steps):.0%} of the steps, {duration(self.seconds_left)} left"
        )
        if self.last is not None:
            job, result = self.last
            text += f" | {job}: {self.describe(result)}"
        return text


def describe(result: dict[str, Any]) -> str:
    """A finished training in few words."""
    if result["diverged_at"] is not None:
        return f"diverged by step {result['diverged_at']}"
    if result["remaining_weights"] is None:
        return "state restored"
    accuracy = result["test_accuracy"]
    if result.get("error_barrier") is not None:
        return f"{result['remaining_weights']:.1%} remaining, error barrier {result['error_barrier']:.1%}"
    return f"{result['remaining_weights']:.1%} remaining, " + ("-" if accuracy is None else f"{accuracy:.1%} test")


def duration(seconds: float | None) -> str:
    """Seconds in the form people read."""
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


@contextmanager
def shown(board: Board, console: Console) -> Iterator[None]:
    """Shows the board for as long as the block runs."""
    if console.is_terminal:
        with Live(get_renderable=lambda: _render(board), console=console, refresh_per_second=4, transient=True):
            yield
        return
    done = threading.Event()

    def lines() -> None:
        while not done.wait(LINE_EVERY_S):
            console.print(board.line(), highlight=False, markup=False, soft_wrap=True)

    thread = threading.Thread(target=lines, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _render(board: Board) -> RenderableType:
    bar = Progress(
        TextColumn("{task.completed}/{task.total} trainings"), BarColumn(None), TextColumn("{task.percentage:.0f}%"),
        TimeElapsedColumn(), TextColumn(f"{duration(board.seconds_left)} left"), expand=True,
    )  # fmt: skip
    bar.add_task("", completed=board.trainings, total=board.total_trainings)
    table = Table("lineage", "round", "remaining", "test accuracy", "", box=None, header_style="dim", padding=(0, 2))
    active = sorted(board.lineages.items(), key=lambda item: item[1][0] == item[1][1])
    for lineage, (done, total, result) in active[:SHOWN_LINEAGES]:
        measured = result and result["remaining_weights"] is not None and result["test_accuracy"] is not None
        table.add_row(
            escape(lineage),
            f"{done}/{total}",
            f"{result['remaining_weights']:.1%}" if measured else "",
            f"{result['test_accuracy']:.1%}" if measured else "",
            f"[red]{escape(board.ended[lineage])}" if lineage in board.ended else "",
        )
    if len(active) > SHOWN_LINEAGES:
        table.add_row(f"... and {len(active) - SHOWN_LINEAGES} more")
    return Group(bar, table)

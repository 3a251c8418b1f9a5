"""`python -m benchmarks.scale [--tickets N ...] [--stages NAME ...]`: what a study of so many tickets costs, beside
its training.

A simulated study (benchmarks/simulated.py) goes through each stage in a process of its own, whose processor time and
largest memory are taken; what the process imports and the plan that a stage works on are left out of the time, not of
the memory. The exponent is that of a power of the number of tickets, fitted to the sizes: 1 is linear. The processor
time counts, as a machine's other work makes the rest longer.
"""

import argparse
import io
import json
import math
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rich.console import Console
from rich.table import Table

SIZES = (1_000, 3_000, 10_000)
SCREEN = 50  # lines
Facts = Mapping[str, float]
Work = Callable[[], Facts]


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


# The stages: each returns what is to be timed. They run in this order, on one storage -------------------------------


def plan(tickets: int, folder: str) -> Work:
    """The plan with its estimate, as --plan prints it."""
    from benchmarks.simulated import study_of
    from lth_ray.config import Launch
    from lth_ray.running.planning import print_plan

    study = study_of(tickets)

    def work() -> Facts:
        print_plan(study, Launch(f"{folder}/none", cpus=2), quiet())
        return {}

    return work


def records(tickets: int, folder: str) -> Work:
    """The storage, filled: what trials would publish, without waiting for the disk."""
    from benchmarks.simulated import fill
    from lth_ray.lottery import make_plan
    from lth_ray.running import history
    from lth_ray.store import Store

    store, planned = Store.open(folder), planned_of(tickets)

    def work() -> Facts:
        fill(planned, store)
        history.remember(store, make_plan(planned.study, store=store), "")
        return {"files": len(store.list())}

    return work


def scheduler(tickets: int, folder: str) -> Work:
    """Every decision of the scheduler, through a stand-in for Tune, and the board that is told of each result."""
    from benchmarks.scheduler_cost import SLOTS, StandIn, result
    from lth_ray.lottery import make_trials, priced
    from lth_ray.running.scheduler import LineageScheduler
    from lth_ray.watching.progress import Board

    planned = priced(planned_of(tickets))

    def work() -> Facts:
        board, controller = Board(planned), SimpleNamespace(search_alg=None)
        chosen = LineageScheduler(SLOTS, planned.priorities, ahead=1)
        for jobs in make_trials(planned.jobs):
            chosen.on_trial_add(controller, StandIn(jobs[0].id, {"trial": {"jobs": [*jobs]}}))
        running = deque[Any]()
        while True:
            while (trial := chosen.choose_trial_to_run(controller)) is not None:
                trial.status = "RUNNING"
                running.append(trial)
            if not running:
                break
            trial = running.popleft()
            told: dict[str, Any] = {}
            for piece in (piece for job in trial.config["trial"]["jobs"] for piece in job.pieces):
                told = {**result(piece), "trained_steps": piece.num_steps, "seconds": 1.0, "remaining_weights": 0.5}
                told |= {"test": 0.9, "taken_up": 0, "whole_steps": piece.num_steps, "cut": None, "wall_s": 1.0}
                chosen.on_trial_result(controller, trial, told)
                board.on_piece(chosen.jobs[piece.key], told)
            trial.status = "TERMINATED"
            chosen.on_trial_complete(controller, trial, told)
        assert len(chosen.done) == len(planned.pieces)
        return {"jobs": len(planned.jobs)}

    return work


def live_view(tickets: int, folder: str) -> Work:
    """A snapshot of a run that is half done, its picture on a screen, and the file for other machines."""
    from lth_ray.watching.live_view import View
    from lth_ray.watching.progress import Board
    from lth_ray.watching.snapshot import to_record

    planned = planned_of(tickets)
    board = Board(planned)
    board.done |= {piece.key for job in planned.jobs[::2] for piece in job.pieces}

    def work() -> Facts:
        snapshot, screen = board.snapshot(), io.StringIO()
        Console(file=screen, width=120, height=SCREEN).print(View(snapshot, SCREEN))
        return {"lines": screen.getvalue().count("\n"), "file_bytes": len(json.dumps(to_record(snapshot)))}

    return work


def mlflow(tickets: int, folder: str) -> Work:
    """Everything sent to MLflow, into the database of the storage."""
    from lth_ray.record import replay
    from lth_ray.store import Store

    store, planned = Store.open(folder), planned_of(tickets)

    def work() -> Facts:
        shipped = replay(planned, store)
        assert shipped["failed"] == shipped["present"] == 0, shipped
        return {"bytes": Path(folder, "mlflow.db").stat().st_size}

    return work


def rerun(tickets: int, folder: str) -> Work:
    """The finished study, run again: planned, looked for in the storage and in MLflow, its tables written."""
    from benchmarks.simulated import study_of
    from lth_ray.config import Launch
    from lth_ray.running import driver

    study = study_of(tickets)

    def work() -> Facts:
        results = driver.run(study, Launch(folder, cpus=2), console=quiet())
        assert not results.plan.jobs, "nothing is left to do"
        return {"tables_bytes": sum(len(results.store.get(path)) for path in results.tables)}

    return work


def status(tickets: int, folder: str) -> Work:
    """`lth-ray status` of the finished study."""
    from benchmarks.simulated import NAME
    from lth_ray.commands.status import print_status
    from lth_ray.store import Store

    store = Store.open(folder, writable=False)

    def work() -> Facts:
        print_status(store, NAME, quiet())
        return {}

    return work


def report(tickets: int, folder: str) -> Work:
    """Tables, comparisons, figures and the pages."""
    from lth_ray import record
    from lth_ray.store import Store

    store, planned = Store.open(folder), planned_of(tickets)

    def work() -> Facts:
        made = record.report(planned, store)
        page = store.get(made.page).decode()
        figures = [len(store.get(path)) for path in made.figures if path.endswith(".svg")]
        return {
            "page_bytes": len(page), "rows": page.count("<tr"), "longest_figure": max(figures, default=0),
            "lines_drawn": len(re.findall(r"<path|<use", page)),
        }  # fmt: skip

    return work


def gc(tickets: int, folder: str) -> Work:
    """Return what collection would remove."""
    from lth_ray.commands.reporting import reached
    from lth_ray.store import Store, plan_gc

    store = Store.open(folder)

    def work() -> Facts:
        return {"removals": len(plan_gc(store, reached(store), grace_s=0))}

    return work


STAGES: dict[str, Callable[[int, str], Work]] = {
    "plan": plan, "scheduler": scheduler, "live view": live_view, "records": records, "status": status, "gc": gc,
    "report": report, "mlflow": mlflow, "rerun": rerun,
}  # fmt: skip


def planned_of(tickets: int) -> Any:
    from benchmarks.simulated import study_of
    from lth_ray.lottery import make_plan

    return make_plan(study_of(tickets))


def quiet() -> Console:
    return Console(file=io.StringIO(), width=120)


# ------------------------------------------------------------------------------------------------------------------


def taken(stage: str, tickets: int, folder: str) -> Taken:
    """Do a stage in this process."""
    from lth_ray import collector

    collector.relax()  # as every command does
    work = STAGES[stage](tickets, folder)
    cpu, wall = time.process_time(), time.monotonic()
    facts = work()
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return Taken(stage, tickets, cpu, wall, peak_mb, facts)


def in_a_process(stage: str, tickets: int, folder: str) -> Taken:
    command = [sys.executable, "-m", "benchmarks.scale", "--one", stage, "--tickets", str(tickets), "--storage", folder]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Taken(**json.loads(done.stdout.splitlines()[-1]))


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
    parser.add_argument("--storage", help="a folder to work in (default: a temporary one)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--one", choices=[*STAGES], help=argparse.SUPPRESS)  # in this process
    given = parser.parse_args()
    if given.one:
        print(json.dumps(asdict(taken(given.one, given.tickets[0], given.storage))))
        return
    found: list[Taken] = []
    with tempfile.TemporaryDirectory(prefix="lth_", dir=given.storage, ignore_cleanup_errors=True) as folder:
        for tickets in sorted(given.tickets):
            for stage in given.stages:
                found.append(in_a_process(stage, tickets, f"{folder}/{tickets}"))
                print(json.dumps(asdict(found[-1])), flush=True)
                if given.json:
                    given.json.write_text(json.dumps([asdict(one) for one in found], indent=1) + "\n")
    Console(width=None if sys.stdout.isatty() else 200).print(table(found))


if __name__ == "__main__":
    main()

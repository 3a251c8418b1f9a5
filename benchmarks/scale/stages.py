"""The stages that a study of many tickets goes through, in the order in which they run on one storage.

Each returns what is to be timed; what it imports, and the plan that it works on, are there by then.
"""

import io
import json
import re
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rich.console import Console

SCREEN = 50  # lines
Facts = Mapping[str, float]
Work = Callable[[], Facts]


def plan(tickets: int, folder: str) -> Work:
    """The plan with its estimate, as --plan prints it."""
    from benchmarks.scale.simulated import study_of
    from lth_ray.config import Launch
    from lth_ray.running.planning import print_plan

    study = study_of(tickets)

    def work() -> Facts:
        print_plan(study, Launch(f"{folder}/none", cpus=2), quiet())
        return {}

    return work


def records(tickets: int, folder: str) -> Work:
    """The storage, filled: what trials would publish, without waiting for the disk."""
    from benchmarks.scale.simulated import fill
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
    from benchmarks.scale.simulated import study_of
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
    from benchmarks.scale.simulated import NAME
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
    from benchmarks.scale.simulated import study_of
    from lth_ray.lottery import make_plan

    return make_plan(study_of(tickets))


def quiet() -> Console:
    return Console(file=io.StringIO(), width=120)

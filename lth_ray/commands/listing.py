"""The studies of a storage in a table: state, tickets, what was trained, last change."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from lth_ray import printing
from lth_ray.config import ConfigError
from lth_ray.lottery import Plan
from lth_ray.lottery.kept.records import segments
from lth_ray.lottery.kept.stored import whole_records
from lth_ray.running import history
from lth_ray.store import Store, live_runs, study_path
from lth_ray.watching.snapshot import duration

HEADINGS = ("NAME", "state", "tickets", "trained", "last change")
PLAIN: dict[str, Any] = {"markup": False, "highlight": False, "soft_wrap": True}


@dataclass(frozen=True)
class Listed:
    """A study of a storage.

    state: what is known of runs, and the share of its steps that is done.
    tickets: (trained, in all).
    steps, seconds: trained for it so far, of one process; of what it shares with others as well.
    changed: seconds since the epoch; None where the storage does not say.
    """

    name: str
    state: str
    tickets: tuple[int, int]
    steps: int
    seconds: float
    changed: float | None


def listed(store: Store) -> Iterator[Listed]:
    """Yield the studies of a storage by name; of one whose record cannot be read, why that is."""
    for name in history.studies(store):
        changed = max((file.modified for file in store.files.entries(study_path(name, ""))), default=None)
        try:
            plan = history.recorded_plan(store, name)
        except ConfigError as error:
            yield Listed(name, f"unreadable: {error}", (0, 0), 0, 0.0, changed)
            continue
        left = {piece.key for job in plan.jobs for piece in job.pieces}
        done = segments(whole_records(store, plan.keys - left))
        tickets = {r.segment.key for lineage in plan.lineages for r in lineage.rounds}
        steps, seconds = (sum(getattr(one, field) for one in done.values()) for field in ("train_steps", "seconds"))
        counts = len(tickets & done.keys()), len(tickets)
        yield Listed(name, _state(store, plan), counts, steps, seconds, changed)


def _state(store: Store, plan: Plan) -> str:
    """Return "complete", or how much of the steps is done and whether a run is at work on the rest."""
    runs = live_runs(store, plan.study.name)
    if not plan.jobs and not runs:
        return "complete"
    share = 1 - plan.remaining_steps / plan.unique_steps if plan.unique_steps else 1.0
    return f"{share:.0%}, " + (f"running on {', '.join(run.host for run in runs)}" if runs else "no run is live")


def print_studies(store: Store, console: Console) -> None:
    """Print a row a study."""
    table = printing.table(*HEADINGS, title=f"studies in {store.uri}")
    for one in listed(store):
        trained = f"{one.steps:,} steps, {duration(one.seconds)}"
        at = "" if one.changed is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(one.changed))
        table.add_row(one.name, one.state, f"{one.tickets[0]:,} of {one.tickets[1]:,}", trained, at)
    if table.row_count:
        console.print(table)
    else:
        console.print(
            f"there is no study in {store.uri}; `lth-ray studies` lists those that come with lth_ray", **PLAIN
        )

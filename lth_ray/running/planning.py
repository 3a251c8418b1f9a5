"""The plan, before anything runs: checked, and shown by --plan. Imports neither Ray nor the record."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from lth_ray import printing
from lth_ray.config import Config, ConfigError, Data, Launch, Length, Study
from lth_ray.data.packed.reading import is_packed
from lth_ray.lottery import Piece, Plan, Training, make_plan, make_trials, priced, shape_of
from lth_ray.running import history
from lth_ray.running.machine.home import check_home
from lth_ray.store import Store
from lth_ray.watching.snapshot import duration

SHORT = 60  # characters of a value that --smoke sets
SHOWN_JOBS = 3  # of those that are trained together, or ended for one reason
SHOWN_BATCHES = 8
DAY_S = 86_400


def check_workers(plan: Plan, launch: Launch) -> None:
    """Raise ConfigError where a recipe of the plan cannot be shared by the workers that are asked for, or would leave
    their GPUs waiting for images.
    """
    packed = next((name for name in (_packed(piece) for piece in plan.pieces.values()) if name), None)
    if launch.gpus_per_worker and not launch.loaders and packed is not None:
        raise ConfigError(
            f"--loaders 0: one process decodes a few hundred images of {packed!r} a second, a tenth of what a GPU "
            "takes; give the cores of each worker to it, such as --cpus-per-worker 8 --loaders 7"
        )
    recipes = {id(piece.recipe): piece.recipe for piece in plan.pieces.values()}
    for recipe in recipes.values():
        if launch.workers and recipe.train.replicates > 1:
            raise ConfigError(
                f"--workers {launch.workers}: Train.replicates = {recipe.train.replicates} trains several networks in "
                "one process; leave one of them out"
            )
        for size in (launch.workers, launch.later_workers):
            recipe.check_workers(size or 1)


def _packed(piece: Piece) -> str | None:
    """Return the name of the packed set that a piece trains on, whose images are decoded as they are asked for."""
    data = piece.recipe.data
    return data.name if isinstance(data, Data) and isinstance(piece, Training) and is_packed(data.name) else None


def shortened(study: Study) -> str:
    """Return what --smoke changes in a study, in words."""
    return ", ".join(f"{path} = {_brief(value)}" for path, value in study.smoke.items()) or "nothing"


def _brief(value: Any) -> str:
    """Return a value in few words: what is short itself, else how many there are of it."""
    if isinstance(value, (Length, str, int, float)) or value is None:
        return str(value)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{name}: {_brief(item)}" for name, item in value.items() if not isinstance(item, Mapping))
        return f"{{{inner}}}" if len(inner) in range(1, SHORT) else f"{len(value)} shortened"
    if isinstance(value, (list, tuple)):
        inner = ", ".join(_brief(item) for item in value)
        return f"[{inner}]" if len(inner) < SHORT else f"[{len(value)} of them]"
    return type(value).__name__ if isinstance(value, Config) else repr(value)


def print_plan(study: Study, launch: Launch, console: Console) -> None:
    """Print jobs, unique and naive steps, branches apart, time and storage (--plan).

    Run nothing and write nothing.
    study: as `launched` has changed it.
    """
    from lth_ray.running.estimate import estimate

    exists = "://" in launch.storage or os.path.isdir(launch.storage)
    store = Store.open(launch.storage, writable=False) if exists else None
    if store is not None:
        history.check_same_study(store, study)
    plan = priced(make_plan(study, launch.data_root, store))
    check_workers(plan, launch)
    if plan.jobs:
        check_home(launch)
    cost = estimate(plan, launch.data_root, launch, launch.cpus or os.cpu_count() or 1, store)
    kinds = ("dense", "lineage", "branch", "table", "state")
    jobs = {kind: sum(job.kind == kind for job in plan.jobs) for kind in kinds}
    rows = {
        "lineages": f"{len(plan.lineages):,}",
        "jobs left to do": ", ".join(f"{n:,} {kind}" for kind, n in jobs.items() if n) or "none: all is in the store",
        "unique steps": f"{plan.unique_steps:,}{_at_most(plan)}, of which branches {plan.branch_steps:,}{_about(plan)}",
        "naive steps": f"{plan.naive_steps:,}, were every lineage trained from its own initialisation",
        "steps left to train": f"{plan.remaining_steps:,}",
        "trained together": trained_together(plan),
        "estimated time": f"{readable_time(cost.seconds)} {_beside(cost.slots, launch)}, by {_by(cost.recorded)}",
        "core-hours": _core_hours(cost.core_hours, launch),
        "storage to be added": f"about {readable_bytes(cost.state_bytes)}",
    }
    console.print(printing.facts(rows, title=f"plan of {study.name}"))
    for told in slow_here(plan, launch):
        console.print(told, style="yellow", highlight=False, markup=False, soft_wrap=True)
    for one in history.older_tickets(store, plan) if store is not None and plan.jobs else ():
        console.print(str(one), style="yellow", highlight=False, markup=False, soft_wrap=True)


def slow_here(plan: Plan, launch: Launch) -> list[str]:
    """Return in words what of the trainings left is slow on a machine like this one."""
    from lth_ray.training.machine import slow_in

    left = (piece for job in plan.jobs for piece in job.pieces if isinstance(piece, Training))
    precisions = {piece.recipe.train.precision for piece in left} if not launch.gpus_per_worker else set()
    return [slow for precision in sorted(precisions) if (slow := slow_in(precision, "cpu"))]


def _at_most(plan: Plan) -> str:
    return " at most, as masks are drawn on the way" if any(one.draw for one in plan.lineages) else ""


def _about(plan: Plan) -> str:
    expected = [piece.expected for piece in plan.pieces.values() if isinstance(piece, Training) and piece.expected]
    return "" if all(one.is_exact for one in expected) else "; how long Scratch('flops') lasts is an estimate"


def readable_time(seconds: float) -> str:
    """Return a length of time in a few figures: 3 min 20 s, 5 h 12 min, 5,900 days."""
    if seconds < 1:
        return "under 1 s"
    return duration(seconds) if seconds < 3 * DAY_S else f"{_figures(seconds / DAY_S)} days"


def readable_bytes(count: float) -> str:
    """Return a size in two figures, by the unit that fits: 640 KB, 260 GB, 1.2 TB."""
    for unit in ("KB", "MB", "GB"):
        count /= 1000
        if count < 999.5:
            return f"{_figures(count)} {unit}"
    return f"{_figures(count / 1000)} TB"


def _figures(value: float) -> str:
    """Return two figures, whole from 10 on, with thousands apart."""
    exact = float(f"{value:.2g}")
    return f"{exact:,.0f}" if exact >= 10 else f"{exact:g}"


def _beside(slots: int, launch: Launch) -> str:
    """Return how many trainings share the time."""
    cores = f"on {slots:,} cores" if slots > 1 else "on one core"
    return (f"on {slots:,} teams of {launch.workers} workers" if launch.workers else cores) + " with start-up"


def _by(recorded: float) -> str:
    timing, records = "a short timing here", "the records there are"
    return timing if recorded < 0.01 else records if recorded > 0.99 else f"{records}, else {timing}"


def _core_hours(hours: float, launch: Launch) -> str:
    number = _figures(hours)
    of_gpus = "; a GPU's are not timed here" if launch.gpus_per_worker else ""
    return f"{number if hours >= 0.01 else 'under 0.01'}, of this machine's, training and evaluation alone{of_gpus}"


def trained_together(plan: Plan) -> str:
    """Return a line for each batch of replicates that is left to train; nothing where all is trained one by
    one.
    """
    batches = [
        (shape.recipe.train.replicates, b) for b in make_trials(plan.jobs) if (shape := shape_of(b[0])) is not None
    ]
    lines = [
        f"{len(batch)} of {count}: {listed([job.id for job in batch])}" for count, batch in batches[:SHOWN_BATCHES]
    ]
    more = len(batches) - SHOWN_BATCHES
    return "\n".join([*lines, *([f"and {more} more such batches"] if more > 0 else [])])


def listed(names: Sequence[str]) -> str:
    """Return the first few names, and how many there are besides."""
    more = len(names) - SHOWN_JOBS
    return ", ".join(names[:SHOWN_JOBS]) + (f" and {more} more" if more > 0 else "")

"""The dry run: what a submission would take on a cluster. Neither Ray nor the data need be at hand."""

import os
from collections.abc import Iterable

from rich.console import Console

from lth_ray import printing
from lth_ray.config import Launch, Study
from lth_ray.lottery import Plan, make_plan
from lth_ray.running import assumed
from lth_ray.running.planning import check_workers, readable_bytes, readable_time
from lth_ray.running.sizing import A100, CORE, CUDA_BYTES, H100, Memory, Size, size_of
from lth_ray.store import Store
from lth_ray.training import Recipe

WORLD_SIZES = 64  # up to which they are named


def print_dry_run(study: Study, launch: Launch, console: Console) -> None:
    """Print world size, batches, memory of a device, operations, time and storage of what is left of a study.

    study: as `launched` has changed it.
    """
    exists = "://" in launch.storage or os.path.isdir(launch.storage)
    store = Store.open(launch.storage, writable=False) if exists else None
    known, names = assumed.sizes(study, launch.data_root)
    plan = make_plan(study, launch.data_root, store, known)
    check_workers(plan, launch)
    size = size_of(plan, left=True)
    rows = {
        "left to do": f"{size.trainings:,} trainings of {len(plan.lineages):,} lineages, {size.steps:,} steps",
        "world size": _world(plan, launch),
        "batches": "\n".join(dict.fromkeys(_batch(recipe, launch) for recipe in _recipes(plan))),
        "memory of a device": _memory(size.memory, launch),
        "operations": f"{size.flops:.2g} of training, as dense matrices take them",
        "time": _time(size, plan, launch),
        "storage": f"about {readable_bytes(size.state_bytes)} to be added",
        "assumed": f"the published sizes of {', '.join(names)}, not at hand here" if names else "",
    }
    console.print(printing.facts(rows, title=f"dry run of {study.name}"))


def _recipes(plan: Plan) -> Iterable[Recipe]:
    return {id(piece.recipe): piece.recipe for piece in plan.pieces.values()}.values()


def _world(plan: Plan, launch: Launch) -> str:
    """Return how many processes train a network, and how many may."""
    asked = launch.workers or 1
    device = f"{launch.gpus_per_worker:g} GPU" if launch.gpus_per_worker else f"{launch.cpus_per_worker:g} x CPU"
    admitted = [n for n in range(1, WORLD_SIZES + 1) if all(recipe.admits(n) for recipe in _recipes(plan))]
    beside = f"; {launch.concurrent:,} networks at a time" if launch.concurrent else ""
    return f"{asked}, each with {device}{beside}; admitted are {', '.join(map(str, admitted))}"


def _batch(recipe: Recipe, launch: Launch) -> str:
    """Return how a batch is shared."""
    size, asked = recipe.data.batch_size, launch.workers or 1
    if recipe.train.sync_batch_norm:
        return f"of {size:,}, {size // asked:,} a worker at once"
    groups = size // recipe.group
    return f"of {size:,}, {size // asked:,} a worker, {groups // asked} x {recipe.group:,} in turn"


def _memory(memory: Memory | None, launch: Launch) -> str:
    """Return what a device holds of one training, and of what that is made up."""
    if memory is None:
        return "not estimated: the network cannot be taken through PyTorch's meta device"
    parts = {
        "weights, gradients and optimizer": memory.weights,
        "for a backward pass": memory.activations,
        "data": memory.data,
        "CUDA": CUDA_BYTES if launch.gpus_per_worker else 0,
    }
    told = ", ".join(f"{readable_bytes(size)} {name}" for name, size in parts.items() if size)
    beside = (
        f" of each training that shares a GPU ({launch.gpus_per_worker:g})" if 0 < launch.gpus_per_worker < 1 else ""
    )
    return f"about {readable_bytes(sum(parts.values()))}{beside}: {told}"


def _time(size: Size, plan: Plan, launch: Launch) -> str:
    """Return the time on each kind of device at the rates that are assumed: together, and of the longest chain."""
    team, gpus = launch.workers or 1, launch.gpus_per_worker
    if gpus:
        devices, count = [A100, H100], max(1, round(team * (launch.concurrent or 1) * gpus))
    else:
        slots = launch.concurrent or max(1, int((launch.cpus or os.cpu_count() or 1) / launch.cpus_per_worker / team))
        devices, count = [CORE], team * slots
    chain = max(plan.priorities.values(), default=0) / max(1, plan.remaining_steps)
    lines = []
    for device in devices:
        alone = size.seconds[device.name]
        together = readable_time(max(alone / count, alone * chain / team))
        least = readable_time(alone * chain / team)
        lines.append(f"{together} on {count:,} x {device.name}; on any number of them at least {least}")
    return "\n".join([*lines, "at assumed rates (docs/sizing.md): nothing was timed"])

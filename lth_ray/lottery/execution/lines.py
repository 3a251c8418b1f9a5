"""Lines between trained networks, and how far these are from each other (Frankle et al. 2019 and 2020a)."""

import math
from collections.abc import Iterator
from dataclasses import replace

import torch

from lth_ray import analysis
from lth_ray.lottery.execution.bench import Bench, Measured, finite
from lth_ray.lottery.execution.networks import build, masked
from lth_ray.store import Tensors
from lth_ray.tasks.base import Loaded
from lth_ray.training.averages import averaged
from lth_ray.training.batch_norm import reestimate

BARRIERS = {
    "lmc_error_barrier": "test_error",
    "lmc_train_error_barrier": "train_error",
    "lmc_loss_barrier": "test_loss",
    "lmc_train_loss_barrier": "train_loss",
}


def line(bench: Bench) -> Measured:
    """Measure error and loss along the line between two trained copies (Frankle et al. 2020a, section 2)."""
    values = apart(bench)
    first, second = bench.state(0), bench.state(1)
    model = build(bench.table.recipe).to(bench.device)  # last: reading a state takes twice its size for a moment
    if aligned(bench, model, first, second):
        values["l2_distance_aligned"] = analysis.l2_distance(first, second, names=bench.covered(bench.mask()))
    return walked(bench, model, first, second, values)


def connectivity(bench: Bench) -> Measured:
    """Measure the line from one network of a study to another, and what lies off it.

    That are the weights that the first set out from, and the second's under the first one's mask. Distances are over
    all weights that may be pruned.
    """
    mask = bench.mask()
    names = bench.covered(mask)
    first, second = bench.state(0), bench.state(1)
    model = build(bench.table.recipe).to(bench.device)
    values: dict[str, float | None] = {"l2_distance": analysis.l2_distance(first, second, names)}
    if aligned(bench, model, first, second):
        values["l2_distance_aligned"] = analysis.l2_distance(first, second, names)
    if bench.table.start is not None:
        start = bench.start(mask)
        values["start_to_line"], values["start_nearest"] = analysis.to_segment(start, first, second, names)
    if mask is not None:
        pruned = masked({name: second[name] for name in names}, mask)
        values["pruned_to_line"], values["pruned_nearest"] = analysis.to_segment(pruned, first, second, names)
    return walked(bench, model, first, second, values)


def aligned(bench: Bench, model: torch.nn.Module, first: Tensors, second: Tensors) -> bool:
    """Bring the second state's units into the order of the first's, in place, by what the table says; return whether it
    says so.
    """
    by, recipe = (bench.table.options or {})["align"], bench.table.recipe
    if not by:
        return False
    examples = bench.batches(bench.dataset.train) if by == "activations" else None
    example = recipe.task.example(recipe.identity)
    analysis.align(model, first, second, example, in_place=True, examples=examples, caller=recipe.task.caller)
    return True


def walked(
    bench: Bench, model: torch.nn.Module, first: Tensors, second: Tensors, values: dict[str, float | None]
) -> Measured:
    """Return `values` with the barriers of the line between two states, and its points."""
    options, recalibrate = bench.table.options or {}, None
    if options["batch_norm"] == "reestimate":

        def recalibrate(model: torch.nn.Module) -> None:
            with averaged(model):
                reestimate(model, bench.batches(bench.dataset.train))

    bench = replace(bench, dataset=_between(bench, model, first, second))
    path = analysis.walk(model, first, second, bench.errors, points=options["points"], recalibrate=recalibrate)
    values = values | {name: analysis.barrier(path, column) for name, column in BARRIERS.items()}
    values["ends_test_error"] = float(path["test_error"].iloc[[0, -1]].mean())
    return Measured(values, {str(name): [finite(value) for value in path[name]] for name in path})


def _between(bench: Bench, model: torch.nn.Module, *ends: Tensors) -> Loaded:
    """Return the examples of a line between two states; model: what they are put into, in turn."""

    def networks() -> Iterator[torch.nn.Module]:
        for state in ends:
            model.load_state_dict(state)
            with averaged(model):
                yield model

    return bench.table.recipe.task.between(bench.dataset, networks())


def distance(bench: Bench) -> Measured:
    """Measure L2 distance and angle between two trained networks over the ticket's weights.

    After Frankle et al. 2019, section 4.
    """
    return Measured(apart(bench))


def apart(bench: Bench) -> dict[str, float | None]:
    """Return distances of the two trained states from each other and from where they set out.

    At most two states are held at a time, which costs reading one of them twice.
    """
    mask = bench.mask()
    names = bench.covered(mask)
    first = bench.state(0)
    values: dict[str, float | None] = {}
    if bench.table.start is not None:
        start = bench.start(mask)
        travelled = [analysis.l2_distance(first, start, names, mask)]
        del first
        second = bench.state(1)
        travelled.append(analysis.l2_distance(second, start, names, mask))
        del start
        values["distance_travelled"] = sum(travelled) / 2
        first = bench.state(0)
    else:
        second = bench.state(1)
    values["l2_distance"] = length = analysis.l2_distance(first, second, names, mask)
    if values.get("distance_travelled"):
        values["share_travelled"] = length / float(values["distance_travelled"] or math.nan)
    values["angle"] = analysis.angle(first, second, names, mask)
    return values

"""Measurement of tables: connectivity, distances, and what masks and weights look like.

Nothing is trained here.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import torch

from lth_ray import analysis, probes
from lth_ray.analysis.states import OVERALL
from lth_ray.lottery.derivation import Table
from lth_ray.lottery.execution.networks import build, eligible, masked
from lth_ray.lottery.execution.progress import Outcome
from lth_ray.lottery.execution.publish import discard
from lth_ray.lottery.execution.reading import MissingState, recorded_mask, stored_segment, stored_table
from lth_ray.lottery.execution.reconstruct import start_state
from lth_ray.lottery.kept.records import Json, SegmentRecord, TableRecord
from lth_ray.lottery.pieces import Measurement
from lth_ray.lottery.sources import StartSource, weights_of
from lth_ray.pruning import Mask
from lth_ray.store import Store, Tensors
from lth_ray.tasks.base import Batch, Loaded
from lth_ray.training import ALONE, Team, TeamBroken, environment, evaluate
from lth_ray.training.averages import averaged
from lth_ray.training.batch_norm import reestimate

if TYPE_CHECKING:  # slow to import, and a training does without
    import pandas as pd


@dataclass(frozen=True)
class Measured:
    """The result of a measurement.

    values: what becomes columns of a result.
    columns: curves and histograms, of equal length within one table.
    """

    values: dict[str, float | None] = field(default_factory=dict)
    columns: dict[str, list[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Bench:
    """The things that a measurement has at hand.

    States are read when they are asked for, so that few are held at a time.
    """

    table: Table
    store: Store
    dataset: Loaded
    device: str
    team: Team = ALONE

    def state(self, number: int) -> Tensors:
        """Return a trained state; pruned weights hold what they held in training."""
        return self._weights(self.table.states[number])

    def start(self, mask: Mask | None) -> Tensors:
        """Return the masked weights that the trained states set out from."""
        assert self.table.start is not None
        return masked(self._weights(self.table.start, mask), mask)

    def _weights(self, source: StartSource, mask: Mask | None = None) -> Tensors:
        return start_state(weights_of(source), self.table.recipe, self.store, self.dataset, mask).model

    def mask(self, number: int = 0) -> Mask | None:
        return recorded_mask(self.store, self.table.of[number])

    def covered(self, mask: Mask | None) -> list[str]:
        """Return the parameters that distances cover: the mask's or, of a dense network, those that may be
        pruned.
        """
        if mask is not None:
            return list(mask)
        rule = (self.table.options or {}).get("prunable", {"include": [], "exclude": []})
        return list(eligible(build(self.table.recipe), rule))

    def batches(self, split: Any, team: Team = ALONE) -> Iterator[Batch]:
        """Yield of its examples those that training's evaluations measure, too: this process's share of them."""
        task = self.table.recipe.task
        return task.examples(self.dataset, task.measured(split), (team.rank, team.size))

    def errors(self, model: torch.nn.Module) -> dict[str, float]:
        """Return loss and error on the training and the test set."""
        recipe, found = self.table.recipe, dict[str, float]()
        for name, split in (("test", self.dataset.test), ("train", self.dataset.train)):
            measured = evaluate(model, self.batches(split, self.team), recipe.task, recipe.train, self.team)
            found |= {f"{name}_loss": measured.loss, f"{name}_error": recipe.task.metric.error(measured.value)}
        return found


def line(bench: Bench) -> Measured:
    """Measure error and loss along the line between two trained copies (Frankle et al. 2020a, section 2)."""
    options = bench.table.options or {}
    values = apart(bench)
    first, second = bench.state(0), bench.state(1)
    model = build(bench.table.recipe).to(bench.device)  # last: reading a state takes twice its size for a moment
    if options["align"]:
        recipe = bench.table.recipe
        second = analysis.align(model, first, second, recipe.task.example(recipe.identity), in_place=True)
        values["l2_distance_aligned"] = analysis.l2_distance(first, second, names=bench.covered(bench.mask()))
    recalibrate = None
    if options["batch_norm"] == "reestimate":

        def recalibrate(model: torch.nn.Module) -> None:
            with averaged(model):
                reestimate(model, bench.batches(bench.dataset.train))

    bench = replace(bench, dataset=_between(bench, model, first, second))
    path = analysis.walk(model, first, second, bench.errors, points=options["points"], recalibrate=recalibrate)
    barriers = {
        "lmc_error_barrier": "test_error",
        "lmc_train_error_barrier": "train_error",
        "lmc_loss_barrier": "test_loss",
        "lmc_train_loss_barrier": "train_loss",
    }
    values |= {name: analysis.barrier(path, column) for name, column in barriers.items()}
    values["ends_test_error"] = float(path["test_error"].iloc[[0, -1]].mean())
    return Measured(values, {str(name): [_finite(value) for value in path[name]] for name in path})


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


def weights(bench: Bench) -> Measured:
    """Measure which initial weights survive and how far weights move (Frankle & Carbin 2019, appendix F)."""
    mask = bench.mask()
    if mask is None:
        raise MissingState("a dense network has no surviving weights to look at")
    initial, final = bench.start(None), bench.state(0)
    movement = analysis.movement(initial, final, mask, bench.mask(1))
    densities = analysis.surviving(initial, mask, (bench.table.options or {})["bins"])
    counts = {"kept": "kept_weights", "pruned": "pruned_weights"}
    values = {counts.get(str(name), str(name)): value for name, value in _overall(movement).items() if name != "layer"}
    return Measured(values, _columns(densities))


def overlap(bench: Bench) -> Measured:
    """Measure how much two seeds' masks have in common, beside what chance would give."""
    first, second = bench.mask(0), bench.mask(1)
    if first is None or second is None:
        raise MissingState("a dense network has no mask to compare")
    frame = analysis.overlap(first, second)
    overall = _overall(frame)
    values = {name: overall[name] for name in ("jaccard", "jaccard_by_chance", "shared", "shared_by_chance")}
    return Measured(values, _columns(frame))


def _overall(frame: "pd.DataFrame") -> dict[Any, Any]:
    """Return the row over all layers."""
    return next(row for row in frame.to_dict("records") if row["layer"] == OVERALL)


def _columns(frame: "pd.DataFrame") -> dict[str, list[Any]]:
    return {str(name): list(column) for name, column in frame.to_dict("list").items()}


# kind of table: what measures it
MEASURES: dict[str, Callable[[Bench], Measured]] = {
    "line": line,
    "distance": distance,
    "weights": weights,
    "overlap": overlap,
}


def measure(measurement: Measurement, store: Store, dataset: Loaded, device: str, team: Team = ALONE) -> Outcome:
    """Measure a table and publish it unless that is done; what was published first stands.

    A team shares the images; each of its processes reads the states for itself, and the leader publishes.
    Raises MissingState where a state is not there any more: a new plan makes that again.
    """
    began, started_at = time.monotonic(), datetime.now(UTC).isoformat()
    found = team.by_leader(lambda: _found(measurement, store))
    if isinstance(found, TableRecord):
        return Outcome(found, 0, 0.0)
    try:
        measured = MEASURES[measurement.table.kind](Bench(measurement.table, store, dataset, device, team))
    except MissingState as error:
        if team.size == 1:
            raise
        raise TeamBroken(str(error)) from error  # the others may have found it: all begin again
    team.meet()  # nobody reads states any more: they may go
    about: Json = {
        "started_at": started_at,
        "seconds": round(time.monotonic() - began, 3),
        "environment": environment(device, team.size),
    }
    record = team.by_leader(lambda: _published(measurement, store, measured, found, about))
    return Outcome(record, 0, time.monotonic() - began)


def _found(measurement: Measurement, store: Store) -> TableRecord | SegmentRecord:
    """Return the record where it was measured already, else that of the segment whose mask it has."""
    record = stored_table(store, measurement.key)
    if record is not None:
        discard(measurement, store)
        return record
    host = stored_segment(store, measurement.table.of[0])
    if host is None:
        raise MissingState(
            f"{store.uri}: there is no segment {measurement.table.of[0]}; run the study again to make it"
        )
    return host


def _published(
    measurement: Measurement, store: Store, measured: Measured, host: SegmentRecord, about: Json
) -> TableRecord:
    """Return the record that stands, once it is in the store and what it was made from may go."""
    table = measurement.table
    values = {name: _finite(value) for name, value in measured.values.items()}
    content = json.dumps([values, measured.columns])
    record = TableRecord(
        key=table.key,
        kind=table.kind,
        meaning=table.meaning,
        metric=table.recipe.task.metric.document,
        remaining_weights=host.remaining_weights,
        remaining_of_all=host.remaining_of_all,
        measurements=values,
        columns=measured.columns,
        content=hashlib.sha256(content.encode()).hexdigest(),
        **about,
    )
    while not store.publish_table(table.key, record.to_json()):
        first = stored_table(store, table.key)
        if first is not None:
            record = first
            break
    probes.point("published")
    discard(measurement, store)
    return record


def _finite(value: float | None) -> float | None:
    """Return a value, None where it cannot be said (an angle to nothing), as JSON has no NaN."""
    return None if value is None or not math.isfinite(value) else float(value)

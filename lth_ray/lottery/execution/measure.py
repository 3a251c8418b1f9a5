"""Measurement of tables: connectivity, distances, curvature, and what masks and weights look like.

Nothing is trained here.
"""

import hashlib
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import torch

from lth_ray import analysis, probes
from lth_ray.analysis.states import OVERALL
from lth_ray.lottery.execution.bench import Bench, Measured, finite
from lth_ray.lottery.execution.curvature import curvature
from lth_ray.lottery.execution.lines import connectivity, distance, line
from lth_ray.lottery.execution.progress import Outcome
from lth_ray.lottery.execution.publish import discard
from lth_ray.lottery.execution.reading import MissingState, stored_segment, stored_table
from lth_ray.lottery.kept.records import Json, SegmentRecord, TableRecord
from lth_ray.lottery.pieces import Measurement
from lth_ray.store import Store
from lth_ray.tasks.base import Loaded
from lth_ray.training import ALONE, Team, TeamBroken, environment

if TYPE_CHECKING:  # slow to import, and a training does without
    import pandas as pd


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


def signs(bench: Bench) -> Measured:
    """Count the kept weights whose signs training flipped, since its start and since initialisation."""
    mask, start, final = bench.mask(), bench.start(bench.mask()), bench.state(0)
    kept = mask or {name: torch.ones_like(final[name], dtype=torch.bool) for name in bench.covered(None)}
    initial = bench.state(1) if len(bench.table.states) > 1 else None
    frame = analysis.sign_flips(start, final, kept, initial)
    overall = _overall(frame)
    return Measured({name: value for name, value in overall.items() if name not in ("layer", "kept")}, _columns(frame))


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
    "connectivity": connectivity,
    "distance": distance,
    "weights": weights,
    "signs": signs,
    "overlap": overlap,
    "curvature": curvature,
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
    values = {name: finite(value) for name, value in measured.values.items()}
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

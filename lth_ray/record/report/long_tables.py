"""Long tables that figures are drawn from: a row for each evaluation, layer, bin or place on a line.

Each takes tickets or branch results as Results has them, and keeps the columns that say whose a row is. What is such a
table already is returned as it is.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from lth_ray.lottery.kept.stored import finished_segment, finished_table
from lth_ray.record.report.summary import measures
from lth_ray.record.report.tables import (
    branch_columns,
    framed,
    metric_of_frame,
    rows_of,
    store_of_frame,
    ticket_columns,
)
from lth_ray.store import Store

if TYPE_CHECKING:
    import pandas

Columns = Mapping[str, list[Any]]
WHOSE = ("lineage", "arm", "method", "seed", "rewind_step", "round", "remaining_weights", "key", "branch", "index")

COUNTED = ("kept", "dropped", "returned")  # of a layer, at an update of its mask


def curves(tickets: "pandas.DataFrame", store: Store | None = None) -> "pandas.DataFrame":
    """Return a row for each evaluation in a ticket's training.

    Its columns are step, epoch, lr, and of the losses (means over examples) and the metric (accuracies lie in
    [0, 1]) those that were measured.
    """
    metric = metric_of_frame(tickets)
    test, validation = metric.column("test"), metric.column("validation")
    shown = ("step", "epoch", "lr", "train_loss", "validation_loss", validation, "test_loss", test)

    def journal(store: Store, key: str) -> Columns:
        record = finished_segment(store, key)
        return {name: values for name, values in record.journal.items() if name in shown} if record else {}

    return _long(tickets, store, journal, ("step", test, "validation_loss"))


def densities(tickets: "pandas.DataFrame", store: Store | None = None) -> "pandas.DataFrame":
    """Return a row for each prunable layer of a ticket: layer, and density in [0, 1]."""

    def layers(store: Store, key: str) -> Columns:
        record = finished_segment(store, key)
        found = record.layer_densities if record else {}
        return {"layer": list(found), "density": list(found.values())}

    return _long(tickets, store, layers, ("layer", "density"))


def updates(tickets: "pandas.DataFrame", store: Store | None = None) -> "pandas.DataFrame":
    """Return a row for each update of a mask that changed while its ticket was trained (RigL, SET).

    Its columns are step, exchanged, the share of the kept weights that left the mask for others, and overlap, the share
    of those dropped that were grown again at once; both over all layers, in [0, 1]. overlap is missing where none was
    dropped.
    """

    def history(store: Store, key: str) -> Columns:
        record = finished_segment(store, key)
        found = (record.mask_history if record else None) or {}
        totals: dict[int, list[int]] = {}
        for step, *counts in zip(*(found.get(name, ()) for name in ("step", *COUNTED)), strict=True):
            totals[step] = [a + b for a, b in zip(totals.get(step, [0] * len(counts)), counts, strict=True)]
        return {
            "step": list(totals),
            "exchanged": [(dropped - returned) / max(1, kept) for kept, dropped, returned in totals.values()],
            "overlap": [returned / dropped if dropped else None for _, dropped, returned in totals.values()],
        }

    return _long(tickets, store, history, ("step", "exchanged", "overlap"))


def paths(branches: "pandas.DataFrame", store: Store | None = None) -> "pandas.DataFrame":
    """Return a row for each place on the line between two copies.

    Its columns are alpha in [0, 1], test_error in [0, 1] and what else was measured there.
    """
    return _measured(branches, store, "barrier", ("alpha", "test_error"))


def weights(branches: "pandas.DataFrame", store: Store | None = None) -> "pandas.DataFrame":
    """Return a row for each bin of a layer's initial weights.

    Its columns are layer, its ends low and high, and the probability densities all and kept.
    """
    return _measured(branches, store, "weights", ("layer", "low", "high", "all", "kept"))


def _measured(
    branches: "pandas.DataFrame", store: Store | None, name: str, columns: tuple[str, ...]
) -> "pandas.DataFrame":
    """Return the tables of a measurement's results."""
    own = [measures(row, name) for row in rows_of(branches)]

    def measured(store: Store, key: str) -> Columns:
        record = finished_table(store, key)
        return record.columns if record else {}

    return _long(branches[own] if own else branches, store, measured, columns)


def _long(
    frame: "pandas.DataFrame",
    store: Store | None,
    columns_of: Callable[[Store, str], Columns],
    needed: tuple[str, ...],
) -> "pandas.DataFrame":
    """Return every row of a frame as often as its columns are long.

    store: by default that which the frame is from.
    needed: columns that are there in any case; the first is in no frame that is not long.
    """
    if needed[0] in frame.columns:
        return frame
    metric = metric_of_frame(frame)
    fixed = {*ticket_columns(metric), *branch_columns(metric)} - {*WHOSE}
    whose = [name for name in frame.columns if name not in fixed]
    parts = []
    for row in frame[whose].to_dict("records"):
        store = store or store_of_frame(frame)
        columns = columns_of(store, row["key"])
        own = {name: value for name, value in row.items() if name not in columns}
        parts += [{**own, **dict(zip(columns, values, strict=True))} for values in zip(*columns.values(), strict=True)]
    return framed(parts, metric, None if parts else [*whose, *needed], frame.attrs.get("storage", ""))

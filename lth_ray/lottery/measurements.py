"""The measurements in the record of a finished segment or table, as columns of a result."""

from collections.abc import Mapping
from typing import Any

from lth_ray.config import Metric
from lth_ray.lottery.kept.records import Record

COLLAPSE = ("lowest_layer_density", "max_compression", "empty_layers", "cut")


def measurements(record: Record) -> dict[str, Any]:
    """Return what a finished segment or table measured, as columns; those of its task's metric have its name."""
    metric, journal = metric_of(record), record.journal
    test, validation = metric.column("test"), metric.column("validation")
    early = early_stop(journal)
    last = {name: _last(journal, name) for name in (test, validation, "test_loss")}
    if record.diverged_at is not None:
        last, early = dict.fromkeys(last), None
    return {
        "remaining_weights": record.remaining_weights,
        "remaining_of_all": record.remaining_of_all,
        "sparsity": 1 - record.remaining_weights,
        **{name: (record.collapse or {}).get(name) for name in COLLAPSE},
        test: last[test],
        "test_error": None if last[test] is None else metric.error(last[test]),
        "test_loss": last["test_loss"],
        validation: last[validation],
        "early_stop_step": None if early is None else journal["step"][early],
        "early_stop_at_end": None if early is None else early == len(journal["step"]) - 1,
        metric.at_early_stop: None if early is None else journal[test][early],
        "train_steps": record.train_steps,
        "diverged_at": record.diverged_at,
        "seconds": record.seconds,
        "device": record.environment["device"],
        "backend": record.backend,
        "key": record.key,
        "content": record.content,
        **record.measurements,
    }


def metric_of(record: Record) -> Metric:
    """Return the metric that the network of a record is judged by."""
    return Metric.read(record.metric)


def early_stop(journal: Mapping[str, list[Any]]) -> int | None:
    """Return the row of minimum validation loss, the first of equals (Frankle & Carbin 2019, section 2); None
    without.
    """
    losses = journal.get("validation_loss", [])
    measured = [(loss, row) for row, loss in enumerate(losses) if loss is not None]
    return min(measured)[1] if measured else None


def _last(journal: Mapping[str, list[Any]], name: str) -> Any:
    values = journal.get(name) or [None]
    return values[-1]

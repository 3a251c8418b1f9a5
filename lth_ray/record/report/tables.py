"""The study's tables: Parquet files of every row."""

import io
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lth_ray.config import ACCURACY, ConfigError, Metric, is_there
from lth_ray.store import Store, study_path

if TYPE_CHECKING:
    import pandas
    import pyarrow

Row = Mapping[str, Any]  # of a study's tables: `ticket_columns` or `branch_columns`, and what the study varies

TEXT, WHOLE, REAL, FLAG = "string", "int64", "double", "bool"
OF_BRANCHES = {"branch": TEXT, "index": WHOLE}


def ticket_columns(metric: Metric = ACCURACY) -> dict[str, str]:
    """Return {column: type} of tickets whatever a study varies, in order; three have the metric's name."""
    test, validation = metric.column("test"), metric.column("validation")
    return {
        "lineage": TEXT,
        "arm": TEXT,
        "method": TEXT,
        "seed": WHOLE,
        "rewind_step": WHOLE,
        "steps_per_epoch": WHOLE,
        "round": WHOLE,
        "remaining_weights": REAL,
        "remaining_of_all": REAL,
        "sparsity": REAL,
        "lowest_layer_density": REAL,
        "max_compression": REAL,
        "empty_layers": WHOLE,
        "cut": FLAG,
        test: REAL,
        "test_error": REAL,
        "test_loss": REAL,
        validation: REAL,
        "early_stop_step": WHOLE,
        "early_stop_at_end": FLAG,
        metric.at_early_stop: REAL,
        "train_steps": WHOLE,
        "diverged_at": WHOLE,
        "seconds": REAL,
        "device": TEXT,
        "backend": TEXT,
        "key": TEXT,
        "content": TEXT,
        "retrain_epochs": REAL,
        "search_epochs": REAL,
        "search_flops": REAL,
        "ticket_flops": REAL,
        "scoring_flops": REAL,
        "inference_flops": REAL,
        "train_bits": WHOLE,
        "search_bits": WHOLE,
        "drawn_step": WHOLE,
        "drawn_at": REAL,
        "drawn_agreed": FLAG,
    }


def branch_columns(metric: Metric = ACCURACY) -> dict[str, str]:
    """Return {column: type} of branch results, likewise."""
    return {**ticket_columns(metric), **OF_BRANCHES}


def framed(
    rows: Sequence[Row], metric: Metric, columns: Sequence[str] | None = None, storage: str = ""
) -> "pandas.DataFrame":
    """Return rows as a frame that knows what its networks are judged by: `metric_of_frame` reads it again.

    storage: where the records of the rows are, for `store_of_frame`.
    """
    import pandas

    frame = pandas.DataFrame(list(rows), columns=columns)
    frame.attrs["metric"] = metric.document
    if storage:
        frame.attrs["storage"] = storage
    return frame


def store_of_frame(frame: "pandas.DataFrame") -> Store:
    """Return the store that has the records of a frame's rows. Raise ConfigError where the frame does not say it."""
    if "storage" not in frame.attrs:
        raise ConfigError(
            'this frame does not say which storage it is from (frame.attrs["storage"]): give one that Results has '
            "returned, or what the figure is drawn from, such as Results.curves()"
        )
    return Store.open(frame.attrs["storage"], writable=False)


def metric_of_frame(frame: "pandas.DataFrame") -> Metric:
    """Return what the networks of a frame are judged by; accuracy for frames made elsewhere."""
    return Metric.read(frame.attrs.get("metric"))


def rows_of(frame: "pandas.DataFrame") -> list[dict[str, Any]]:
    """Return a frame's rows, with None for what was not measured."""
    return [
        {name: value if is_there(value) else None for name, value in row.items()} for row in frame.to_dict("records")
    ]


def write_tables(
    store: Store, name: str, tickets: Sequence[Row], branches: Sequence[Row], metric: Metric = ACCURACY
) -> tuple[str, str]:
    """Write studies/NAME/tickets.parquet and branches.parquet, each atomically; return their paths in the
    store.
    """
    paths = study_path(name, "tickets.parquet"), study_path(name, "branches.parquet")
    store.put(paths[0], encode_table(tickets, ticket_columns(metric), name))
    store.put(paths[1], encode_table(branches, branch_columns(metric), name))
    return paths


def encode_table(rows: Sequence[Row], columns: Mapping[str, str], study: str) -> bytes:
    """Return rows as a Parquet file.

    columns: those that are there whatever the rows are; the others' types are found.
    """
    import pyarrow
    from pyarrow import parquet

    names = list(dict.fromkeys([name for row in rows for name in row] or columns))
    arrays = [_column([row.get(name) for row in rows], columns.get(name)) for name in names]
    table = pyarrow.table(dict(zip(names, arrays, strict=True))).replace_schema_metadata({"lth_ray.study": study})
    file = io.BytesIO()
    parquet.write_table(table, file)
    return file.getvalue()


def _column(values: list[Any], kind: str | None) -> "pyarrow.Array":
    """Return one column; a swept field's values of several kinds become text."""
    import pyarrow

    if kind is not None:
        return pyarrow.array(values, pyarrow.type_for_alias(kind))
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) == 1 and kinds <= {bool, int, float, str}:
        return pyarrow.array(values)
    if kinds == {int, float}:
        return pyarrow.array(values, pyarrow.float64())
    return pyarrow.array([None if value is None else plain(value) for value in values], pyarrow.string())


def plain(value: Any) -> str:
    """Return a value of a swept field as text: strings as they are, the rest as JSON where JSON has it."""
    return value if isinstance(value, str) else json.dumps(value, default=str)

"""The content of a storage and its MLflow record, and the differences of two of them; times and machines
aside.
"""

import io
import sqlite3
from collections import Counter
from collections.abc import Hashable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from rich.console import Console

from lth_ray.commands.verifying import verify
from lth_ray.running.history import recorded_plan
from lth_ray.store import Store
from lth_ray.store.layout import study_path
from tests.running.conftest import contents

TABLES, TIMES = ("tickets", "branches"), ["seconds"]
POINTS = """
    select (select value from tags where tags.run_uuid = runs.run_uuid and tags.key = 'lth.kind'), runs.name,
           metrics.key, metrics.step, case metrics.key when 'seconds' then 0 else metrics.value end, metrics.is_nan
    from metrics join runs using (run_uuid) where metrics.key not like 'system/%'
"""
RUNS = """
    select (select value from tags where tags.run_uuid = runs.run_uuid and tags.key = 'lth.kind'), runs.name, status
    from runs where lifecycle_stage = 'active'
"""
MODELS = "select name, status from logged_models where lifecycle_stage = 'active'"


@dataclass(frozen=True)
class Seen:
    """Each of these as often as it is there: contents and table rows by their names, runs, points, models."""

    contents: Counter[Hashable]
    rows: Counter[Hashable]
    runs: Counter[Hashable]
    points: Counter[Hashable]
    models: Counter[Hashable]


def seen(storage: str, database: Path, study: str) -> Seen:
    """Return what is there."""
    store = Store.open(storage)
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        asked = [Counter[Hashable](connection.execute(query)) for query in (RUNS, POINTS, MODELS)]
    return Seen(
        Counter(contents(recorded_plan(store, study), store).items()),
        Counter(row for name in TABLES for row in _rows(store, study, name)), *asked,
    )  # fmt: skip


def _rows(store: Store, study: str, name: str) -> list[Hashable]:
    frame = pd.read_parquet(io.BytesIO(store.files.get(study_path(study, f"{name}.parquet"))))
    return [(name, *map(str, row)) for row in frame.drop(columns=TIMES).itertuples(index=False)]


def differences(expected: Seen, found: Seen) -> list[str]:
    """In few words each; empty where they are equal."""
    said = []
    for what in ("contents", "rows", "runs", "points", "models"):
        there, here = getattr(expected, what), getattr(found, what)
        for word, differing in (("missing", there - here), ("too many", here - there)):
            if differing:
                first = min(differing, key=str)
                said.append(f"{differing.total()} {what} {word}, as {' '.join(map(str, first))[:100]}")
    return said


def damages(storage: str) -> str:
    """Return what `lth-ray verify` says of a storage; empty where it finds all of it whole."""
    told = io.StringIO()
    code = verify(Store.open(storage), None, False, Console(file=told, width=200))
    return told.getvalue().strip() if code else ""

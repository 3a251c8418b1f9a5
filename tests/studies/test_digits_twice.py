"""The demo's study, run in full by real Ray in two empty storages: some minutes each."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lth_ray.lottery import branch_rows, ticket_rows
from lth_ray.running.history import recorded_plan
from lth_ray.store import Store

DIGITS = Path(__file__).resolve().parents[2] / "studies" / "digits.py"


def contents_of_a_run(storage: Path) -> dict[tuple[str, str], str]:
    subprocess.run([sys.executable, str(DIGITS), "--storage", str(storage)], check=True, env={**os.environ})
    store = Store.open(str(storage))
    plan = recorded_plan(store, "digits")
    rows = [*ticket_rows(plan, store), *branch_rows(plan, store)]
    return {(f"{row['lineage']} {row['round']}", row.get("branch", "")): row["content"] for row in rows}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_empty_storages_hold_identical_contents(tmp_path: Path) -> None:
    first, second = contents_of_a_run(tmp_path / "first"), contents_of_a_run(tmp_path / "second")
    assert len(first) == 90  # 10 lineages of 5 rounds, and 40 branch results
    assert first == second

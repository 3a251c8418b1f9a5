"""Every study plans; the one on digits runs for real; the smoke runs of all of them, which take longer, are slow."""

import os
import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pandas as pd
import pytest

from lth_ray import Launch, Study
from lth_ray.config import launched
from lth_ray.lottery import make_plan
from lth_ray.running.history import entries_of
from lth_ray.store import Store

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((ROOT / "studies").glob("*.py"))


def declared(script: Path) -> list[Study]:
    spec = spec_from_file_location(script.stem, script)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return [module.study] if hasattr(module, "study") else module.studies


def start(script: Path, *flags: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(script), *map(str, flags), "--cpus", "2"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=env, capture_output=True, text=True)


@pytest.mark.parametrize("smoke", [False, True], ids=["whole", "smoke"])
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_it_plans(script: Path, smoke: bool, shared_data: Path) -> None:
    for study in declared(script):
        asked = launched(study, Launch(smoke=smoke))
        plan = make_plan(asked, str(shared_data))
        assert plan.jobs
        assert len(plan.lineages) == len(asked.seeds) * len(asked.rewind) * max(1, len(asked.arms))
        assert plan.naive_steps >= plan.unique_steps
        assert not smoke or plan.unique_steps < make_plan(study, str(shared_data)).unique_steps / 2


@pytest.mark.timeout(600)
def test_digits_runs(tmp_path: Path) -> None:
    """A seed, three rounds and 60 steps of the real study, from its script to its tables, by Ray."""
    shorter = [f"--set={setting}" for setting in ("seeds=[0]", "prune.rounds=3", "train.length=steps(60)")]
    ended = start(ROOT / "studies" / "digits.py", "--storage", tmp_path, *shorter)
    assert ended.returncode == 0, ended.stderr[-3000:]
    folder = next((tmp_path / "studies").iterdir())
    tickets, branches = (pd.read_parquet(folder / name) for name in ("tickets.parquet", "branches.parquet"))
    assert list(zip(tickets["arm"], tickets["round"], strict=True)) == [
        (arm, number) for arm in ("iterative", "one_shot") for number in range(4)
    ]
    by_round = tickets.groupby("round")
    assert (by_round["remaining_weights"].nunique() == 1).all()  # one-shot prunes to the iterative arm's counts
    assert list(by_round["key"].nunique()) == [1, 1, 2, 2]  # they share the dense run and the first round
    assert list(branches["branch"]) == ["random_reinit", "random_mask"]
    assert (branches["round"] == 3).all()
    assert tickets["test_accuracy"].min() > 0.3
    trained = 60 * (1 + 3 + 2 + 2)
    assert f"trained {trained} steps" in ended.stderr
    assert (tmp_path / "mlflow.db").stat().st_size > 0
    [entry] = entries_of(Store.open(str(tmp_path)), folder.name)
    assert entry["question"].startswith("Do winning tickets exist")


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_its_smoke_run_learns(script: Path, shared_data: Path, tmp_path: Path) -> None:
    ended = start(script, "--smoke", "--storage", tmp_path, "--data-root", shared_data)
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert len(re.findall(r"--smoke shortens: (?!nothing)", ended.stderr)) == len(declared(script))

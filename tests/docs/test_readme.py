"""The blocks of README.md and CONTRIBUTING.md that no shell runs: studies, results, a comparison; and `make demo`."""

import os
import re
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from PIL import Image

import lth_ray
from tests.docs.blocks import ROOT, blocks

STUDY, RESULTS, OWN = (block.text for block in blocks("README.md") if block.language == "python")


def run_block(block: str, monkeypatch: pytest.MonkeyPatch, *flags: str) -> None:
    """Executes a block as the script it shows, in this folder; a study's main ends in SystemExit(0)."""
    monkeypatch.setattr("sys.argv", ["readme.py", *flags])
    script = Path("readme.py").absolute()  # whose functions' source is looked up
    script.write_text(block)
    with pytest.raises(SystemExit) as ended:
        exec(compile(block, str(script), "exec"), {"__name__": "__main__"})
    assert ended.value.code in (0, None)


def test_the_study_plans(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run_block(STUDY, monkeypatch, "--plan", "--data-root", str(shared_data))
    assert re.search(r"lineages\W+10\b", capsys.readouterr().err)
    assert not (tmp_path / "lth_storage").exists()


def test_results_are_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    results = mock.create_autospec(lth_ray.Results, instance=True)
    monkeypatch.setattr(lth_ray, "run", mock.create_autospec(lth_ray.run, return_value=results), raising=False)
    exec(compile(RESULTS, "README.md", "exec"), {"study": None})
    for name in ("tickets", "branches", "ledger"):
        getattr(results, name).assert_called_once_with()


def draw_photos(place: Path) -> None:
    draw = np.random.default_rng(0)
    for split, n in (("train", 80), ("test", 10)):
        for label in ("cat", "dog"):
            folder = place / "photos" / split / label
            folder.mkdir(parents=True)
            for i in range(n):
                Image.fromarray(draw.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(folder / f"{i}.png")


def test_ones_own_model_and_folder_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_photos(tmp_path)
    monkeypatch.chdir(tmp_path)
    run_block(OWN, monkeypatch, "--plan")
    assert re.search(r"lineages\W+6\b", capsys.readouterr().err)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("workers", [0, 2])
def test_ones_own_model_and_relative_folder_train(workers: int, tmp_path: Path) -> None:
    """As the page has it, in the folder that the photos lie in; by Ray, whose workers work elsewhere."""
    draw_photos(tmp_path)
    (tmp_path / "mine.py").write_text(OWN)
    shorter = ["--set=seeds=[0]", "--set=prune.rounds=1", "--set=train.length=epochs(2)"]
    team = [f"--workers={workers}", "--set=train.batch_norm_group=16"] if workers else []
    command = [sys.executable, "mine.py", "--cpus=2", "--name=mine", *shorter, *team]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert ran.returncode == 0, ran.stdout[-3000:]
    assert "trained 5 steps" in ran.stdout  # an epoch is one: 2 dense, 2 from k = 0 and 1 from k = 1
    assert (tmp_path / "lth_storage" / "studies" / "mine" / "tickets.parquet").exists()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_make_demo(tmp_path: Path) -> None:
    """Into an environment that is there already: this one."""
    programs = tmp_path / "venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (programs / "python").chmod(0o755)
    (tmp_path / "venv" / ".installed").touch()
    command = ["make", "demo", f"VENV={tmp_path / 'venv'}", f"DEMO_STORAGE={tmp_path / 'storage'}"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert ran.returncode == 0, ran.stdout[-3000:]
    assert "trained 36,000 steps" in ran.stdout
    assert (tmp_path / "storage" / "studies" / "digits" / "accuracy.png").exists()

"""What README.md tells a reader to write and to run works."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def run_block(block: str, monkeypatch: pytest.MonkeyPatch, *flags: str) -> None:
    """Executes a block as the script it shows; a study's main ends in SystemExit(0)."""
    monkeypatch.setattr("sys.argv", ["readme.py", *flags])
    namespace: dict[str, Any] = {"__name__": "__main__"}
    with pytest.raises(SystemExit) as ended:
        exec(compile(block, "README.md", "exec"), namespace)
    assert ended.value.code in (0, None)


def test_there_is_a_study_results_and_a_model_of_ones_own() -> None:
    assert [("main(study)" in block, "results." in block, "Model(tiny)" in block) for block in PYTHON] == [
        (True, False, False), (False, True, False), (False, False, True),
    ]  # fmt: skip


def test_the_study_of_the_readme_plans(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run_block(PYTHON[0], monkeypatch, "--plan", "--data-root", str(shared_data))
    assert "10 lineage" in capsys.readouterr().err
    assert not (tmp_path / "lth_storage").exists()


def test_ones_own_model_and_folder_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    draw = np.random.default_rng(0)
    for split, n in (("train", 80), ("test", 10)):
        for label in ("cat", "dog"):
            folder = tmp_path / "photos" / split / label
            folder.mkdir(parents=True)
            for i in range(n):
                Image.fromarray(draw.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    monkeypatch.chdir(tmp_path)
    run_block(PYTHON[2], monkeypatch, "--plan")
    assert "6 lineage" in capsys.readouterr().err


def test_the_commands_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w[\w-]*)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    from lth_ray.cli import lth_ray

    commands = set(re.findall(r"^lth-ray (\w+)", README, re.MULTILINE))
    assert commands
    assert commands <= set(lth_ray.commands)


def test_the_flags_of_the_readme_exist(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run_block(PYTHON[0], monkeypatch, "--help")
    told = capsys.readouterr().out
    flags = set(re.findall(r"`(--[a-z-]+)", README))
    assert len(flags) > 8
    assert all(flag in told for flag in flags if flag != "--yes"), flags

"""Completion by a shell, with click's script: commands, studies that there are, names in a storage."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import BashComplete

from lth_ray.cli import lth_ray
from lth_ray.store import Store
from tests.docs.blocks import blocks
from tests.running.conftest import declared, train_here


def completed(*words: str) -> list[str]:
    complete = BashComplete(lth_ray, {}, "lth-ray", "_LTH_RAY_COMPLETE")
    return [item.value for item in complete.get_completions([*words[:-1]], words[-1])]


def test_a_shell_completes_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    train_here(declared(), Store.open("lth_storage"))
    assert completed("stu") == ["studies"]
    assert {"digits", "conv4-cifar10"} <= set(completed("run", ""))
    assert completed("run", "digi")[0] == "digits"
    assert completed("status", "s") == ["small"]
    assert completed("status", "--storage", "elsewhere", "s") == []
    assert "--storage" in completed("ls", "--")
    [line] = [line for block in blocks("docs/install.md") for line in block.lines if line.startswith("eval")]
    variable, value = line.removeprefix('eval "$(').partition(" ")[0].split("=")
    program = "import sys; sys.argv = ['lth-ray']; from lth_ray.cli import entry; entry()"
    env = {**os.environ, variable: value}
    ran = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True)
    assert "complete -o nosort -F _lth_ray_completion lth-ray" in ran.stdout, ran.stderr

"""The start of a process: what it imports, and what it starts, before it has anything to do."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lth_ray.config import Launch
from lth_ray.running import driver
from lth_ray.store import Store
from lth_ray.training.kernels import library
from lth_ray.training.process import GUARDED
from tests.conftest import Call
from tests.running.conftest import NoShipper, declared, train_here

DIGITS = Path(__file__).resolve().parents[2] / "studies" / "digits.py"
HEAVY = ("matplotlib", "mlflow", "pandas", "ray", "scipy", "sklearn", "torchvision")
PLAN = f"""
import runpy, sys
sys.argv = ["digits.py", "--plan", "--storage", "none"]
try:
    runpy.run_path({str(DIGITS)!r}, run_name="__main__")
except SystemExit as end:
    assert end.code == 0
"""
OPTIMIZER = """
import sys, torch
from lth_ray.training.process import spare_dynamo
spare_dynamo()
weight = torch.nn.Parameter(torch.ones(2))
optimizer = torch.optim.Adam([weight])
optimizer.load_state_dict(optimizer.state_dict())
weight.grad = torch.ones(2)
optimizer.zero_grad()
assert weight.grad is None
"""


def imported(code: str, names: tuple[str, ...], folder: Path) -> set[str]:
    """Return those of the modules that a fresh process has imported which ran the code."""
    code += f"\nprint('imported', *(name for name in {names!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split()[1:])


def test_a_plan_is_made_with_torch_alone(tmp_path: Path) -> None:
    compiled = library.kernels(torch.float32) is not None  # by autograd a step imports it
    assert imported(PLAN, HEAVY + (("torch._dynamo",) if compiled else ()), tmp_path) == set()


def test_looking_at_a_study_is_light(tmp_path: Path) -> None:
    assert imported("import sys, lth_ray.commands.status", HEAVY, tmp_path) == set()


def test_an_optimizer_does_without_dynamo(tmp_path: Path) -> None:
    """While torch asks for it in the way that `spare_dynamo` knows, which this is to tell."""
    assert imported(OPTIMIZER, ("torch._dynamo",), tmp_path) == set()


def test_what_dynamo_guards_is_a_bare_method_below() -> None:
    assert all(hasattr(method, "__wrapped__") for method in GUARDED)


def test_a_finished_study_run_again_starts_no_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call) -> None:
    train_here(declared(), Store.open(str(tmp_path)))

    def started(*_: object) -> None:
        raise AssertionError("Ray was started")

    monkeypatch.setattr(driver, "_tune", started)
    monkeypatch.setattr(driver, "Shipper", NoShipper)
    code, printed = call(declared(), "--storage", tmp_path)
    assert code == 0
    assert "trained 0 steps" in printed
    assert len(driver.run(declared(), Launch(str(tmp_path))).tickets()) == 6

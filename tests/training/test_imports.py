"""Training needs neither Ray nor MLflow: on a machine that has neither, all of it works."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WITHOUT = """
import sys
from importlib.abc import MetaPathFinder

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("ray", "mlflow", "platformdirs", "click", "rich"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
"""


def without_them(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", WITHOUT + code], cwd=ROOT, capture_output=True, text=True, check=False)


def test_they_are_absent() -> None:
    for name in ("ray", "mlflow"):
        assert f"No module named '{name}'" in without_them(f"import {name}").stderr


def test_the_lower_layers_the_tests_and_the_benchmarks_of_a_gpu() -> None:
    found = without_them("""
import lth_ray.config, lth_ray.data, lth_ray.models, lth_ray.pruning, lth_ray.training
import tests.gpu.test_captured, tests.gpu.test_replicates, tests.gpu.test_resnet50
import benchmarks.gpu.steps, benchmarks.gpu.exactness, benchmarks.gpu.waiting, benchmarks.gpu.suites, tests.conftest
import torch
from lth_ray.training import replicate, train_together
from tests.gpu.setups import a_case, masks_hold

case = a_case(torch.device("cpu"), "lenet_8_4", (1, 8, 8), momentum=0.9)
runs = [case.run(seed) for seed in range(2)]
train_together(replicate(runs), 3)
assert all(masks_hold(run) for run in runs)
print("done", case.trained(None, 2).step)
""")
    assert found.stdout.split() == ["done", "2"], found.stderr

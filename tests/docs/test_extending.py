"""docs/extending.md, followed to the letter in a copy of the package: its files, its entries, its study."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, Block, blocks, read

PAGE = "docs/extending.md"
# Carries the study out without Ray, and says what came of it.
RUN = """
import json, sys
import extended
from lth_ray import data, pruning
from lth_ray.lottery import branch_rows, carry_out, make_plan, ticket_rows
from lth_ray.store import Store

store = Store.open(sys.argv[1])
plan = make_plan(extended.study, None, store)
for job in plan.jobs:
    for piece in job.pieces:
        carry_out(piece, store, data.load(piece.recipe.data), "cpu")
tickets, branches = ticket_rows(plan, store), branch_rows(plan, store)
print(json.dumps({
    "kept": [row["remaining_weights"] for row in tickets],
    "accuracy": [row["test_accuracy"] for row in tickets],
    "branches": [(row["branch"], row["round"], row["index"]) for row in branches],
    "contents": len({row["content"] for row in [*tickets, *branches]}),
    "criteria": pruning.CRITERIA["lamp"].scores.__module__,
}))
"""

# Studies by a task and by a metric of the page; beside them what an untrained network comes to, and by hand.
JUDGED = """
import json, sys
import torch
from lth_ray.config import Model, Prune, Study, Train, steps
from lth_ray.lottery import carry_out, make_plan, ticket_rows
from lth_ray.store import Store
from lth_ray.tasks import task_of
from lth_ray.tasks.absolute import Absolute
from lth_ray.tasks.brier import Calibrated
from lth_ray.training import evaluate

store, train = Store.open(sys.argv[1]), Train(steps(150), optimizer="adam", lr=5e-3, evaluate_every=steps(50))
told = {}
rows = Absolute("diabetes", batch_size=32, validation=60, test=60)
images = Calibrated("digits", batch_size=60, validation=200)
for data in (rows, images):
    study = Study("judged", model=Model("lenet_30"), data=data, train=train, prune=Prune(fraction=0.5, rounds=1),
                  rewind=[steps(0)], seeds=[0])
    plan = make_plan(study, None, store)
    for job in plan.jobs:
        for piece in job.pieces:
            carry_out(piece, store, piece.recipe.task.load(), "cpu")
    task = task_of(data)
    loaded = task.load()
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(task.identify().num_classes))
    batches = list(task.examples(loaded, loaded.test))
    outputs = torch.cat([network(inputs) for inputs, _ in batches]).detach()
    targets = torch.cat([targets for _, targets in batches])
    if isinstance(data, Absolute):
        by_hand = sum(abs(float(a) - float(b)) for a, b in zip(outputs, targets)) / len(targets)
    else:
        shares = torch.exp(outputs) / torch.exp(outputs).sum(1, keepdim=True)
        by_hand = sum(float(((p - torch.eye(10)[y]) ** 2).sum()) for p, y in zip(shares, targets)) / len(targets)
    told[data.metric.name] = {
        "rows": ticket_rows(plan, store), "by_hand": by_hand, "measured": evaluate(network, batches, task, train).value,
    }
print(json.dumps(told, default=str))
"""


def named(block: Block) -> str:
    """The file that the text says a block is: the last path before it."""
    before = read(PAGE)[: read(PAGE).index(block.text)]
    found: str = re.findall(r"`([\w/]+\.py)`", before)[-1]
    return found


def applied(diff: str, root: Path) -> None:
    """Edits files: `+` lines go behind the line above them, or into the place of a `-` line."""
    path, at = root, -1
    for line in diff.splitlines():
        kind, text = line[:1], line[1:]
        if line.startswith("+++ "):
            path = root / line[4:]
            continue
        lines = path.read_text().splitlines()
        if kind == "+":
            lines.insert(at + 1, text)
            at += 1
        else:
            assert lines.count(text) == 1, f"{path}: {lines.count(text)} lines are {text!r}"
            at = lines.index(text)
            if kind == "-":
                del lines[at]
                at -= 1
        path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which a reader has done what the page says."""
    root = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "lth_ray", root / "lth_ray", ignore=shutil.ignore_patterns("__pycache__"))
    for block in blocks(PAGE):
        if block.language == "python":
            (root / named(block)).write_text(block.text)
        else:
            applied(block.text, root)
    return root


def test_the_files_are_those_that_the_page_names() -> None:
    assert [named(block) for block in blocks(PAGE) if block.language == "python"] == [
        "my_model.py", "lth_ray/pruning/lamp.py", "lth_ray/lottery/branches/other_order.py", "extended.py",
        "lth_ray/tasks/absolute.py", "lth_ray/tasks/brier.py",
    ]  # fmt: skip


def test_its_study_runs(extended: Path, tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(extended)}
    ran = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path)], cwd=extended, env=env, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout.splitlines()[-1])
    assert told["kept"] == pytest.approx([1, 0.5, 0.25], abs=0.01)
    assert min(told["accuracy"]) > 0.8
    assert told["branches"] == [["other_order", number, index] for number in (1, 2) for index in (0, 1)]
    assert told["contents"] == 3 + 4  # every order ends elsewhere
    assert told["criteria"] == "lth_ray.pruning.lamp"


def test_its_task_and_its_metric_judge(extended: Path, tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(extended)}
    ran = subprocess.run(
        [sys.executable, "-c", JUDGED, str(tmp_path)], cwd=extended, env=env, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout.splitlines()[-1])
    for name, worst in (("mae", 0.75), ("brier", 0.3)):  # the mean of all rows has .83, equal probabilities .9
        assert told[name]["measured"] == pytest.approx(told[name]["by_hand"], rel=1e-5)
        assert [row["round"] for row in told[name]["rows"]] == [0, 1]
        assert all(row[f"test_{name}"] < worst for row in told[name]["rows"])
        assert all("test_accuracy" not in row for row in told[name]["rows"])


@pytest.mark.slow
def test_its_criterion_passes_the_tests_of_all_criteria(extended: Path) -> None:
    tests = extended / "tests" / "pruning"
    tests.mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "pruning" / "test_criteria.py", tests)
    shutil.copy(ROOT / "tests" / "conftest.py", extended / "tests")
    shutil.copy(ROOT / "pyproject.toml", extended)
    env = {**os.environ, "PYTHONPATH": str(extended)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "lamp", str(tests)]
    ran = subprocess.run(command, cwd=extended, env=env, capture_output=True, text=True)
    assert re.search(r"\b3 passed", ran.stdout), ran.stdout

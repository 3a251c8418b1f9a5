"""Whole runs by Ray in processes of their own: what they count, what fails, what users do to them meanwhile."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lth_ray.lottery import make_plan
from lth_ray.running.history import recorded_plan
from lth_ray.store import Store, live_runs
from tests.conftest import Call
from tests.running.conftest import SCRIPT, Runner, a_runner, contents, declared

slow = pytest.mark.slow
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """The small study run once; look at it, and leave it as it is."""
    with a_runner(tmp_path_factory.mktemp("finished")) as runner:
        assert runner.run() == 0, runner.output[-3000:]
        yield runner


def test_trials_train_what_a_single_process_trains(finished: Runner, undisturbed: dict[str, str]) -> None:
    assert finished.contents() == undisturbed


def test_a_sweep_of_rewind_points_trains_the_dense_network_once(finished: Runner) -> None:
    plan = make_plan(declared())
    assert len(plan.lineages) == 2
    dense = plan.lineages[0].dense.key
    assert [count for line, count in finished.steps.items() if line.startswith(f"{dense} ")] == [1] * 100
    assert finished.steps.total() == plan.unique_steps == 580
    assert "trained 580 steps" in finished.output
    assert "the study is 580 steps (0 were in the store), 680 without sharing" in finished.output


def test_a_run_leaves_its_tables_its_record_and_no_marker(finished: Runner) -> None:
    made = {path.name for path in (finished.storage / "studies" / "small").iterdir()}
    assert made >= {"history", "report.md", "tickets.parquet", "branches.parquet", "accuracy.svg"}
    assert "live" not in made
    assert (finished.storage / "mlflow.db").exists()
    assert not live_runs(Store.open(str(finished.storage)))


def test_running_it_again_trains_nothing_and_starts_no_ray(finished: Runner) -> None:
    before = finished.steps
    assert finished.run("--address", "10.255.255.1:1") == 0  # where no Ray is
    assert finished.steps == before
    assert "trained 0 steps" in finished.output


FAILING = SCRIPT.replace(
    "study = Study(",
    """
import torch.nn.functional as F

def broken(model, batch):
    raise ValueError("no such [loss]")

def wild(model, batch):
    inputs, labels = batch
    return F.cross_entropy(model(inputs), labels) * (float("nan") if model.training else 1), {}

study = Study(""",
).replace(
    "    seeds=[0],",
    '    seeds=[0], arms={"calm": {}, "broken": {"train.loss": broken}, "wild": {"train.loss": wild}},',
)


@slow
def test_failures_and_divergence_end_what_hangs_on_them_and_nothing_else(runner: Runner) -> None:
    runner.source = FAILING.replace("steps(100)", "steps(40)").replace("steps(40)]", "steps(20)]")
    assert runner.run() == 1, runner.output[-3000:]
    assert "Traceback" not in runner.output
    printed = [line for line in runner.output.splitlines() if "ended early: " in line or line.startswith("dense/")]
    printed = [line for line in printed if not line.startswith("ended: ")]  # told while it runs, if it takes so long
    reasons = [line.partition(": ")[2] for line in printed if "remaining" not in line]
    failed = [reason for reason in reasons if "ValueError: no such [loss] (study.py, line" in reason]
    assert len(failed) == 2  # the dense run with the reason, and once all that needed it
    assert "in broken: raise ValueError(" in failed[0]
    assert sum("its loss became NaN or infinite by step 20" in reason for reason in reasons) == 2
    store = Store.open(str(runner.storage))
    plan = recorded_plan(store, "small")
    found = contents(plan, store)
    assert {name.split("/")[0] for name in found} == {"calm", "wild"}
    assert sum(name.startswith("calm") for name in found) == 2 * 3 + 2
    assert sum(name.startswith("wild") for name in found) == 2  # round 0 of both lineages
    assert {job.id.split("/")[0] for job in plan.jobs} == {"dense", "broken"}  # what diverged is not tried again


@slow
def test_a_divergence_alone_is_a_result(runner: Runner) -> None:
    runner.source = FAILING.replace('"broken": {"train.loss": broken}, ', "")
    assert runner.run() == 0, runner.output[-3000:]
    assert "its loss became NaN" in runner.output


SLEEPY = SCRIPT.replace(
    "study = Study(",
    """
import time
import torch.nn.functional as F

def sleepy(model, batch):
    inputs, labels = batch
    time.sleep(0.06 * model.training)
    return F.cross_entropy(model(inputs), labels), {}

study = Study(""",
).replace("evaluate_every", "loss=sleepy, evaluate_every")


@slow
def test_cancelling_looking_and_collecting_beside_a_live_run(runner: Runner, call: Call) -> None:
    """The process of a cancelled lineage is still training, and must not be given the next one."""
    runner.source = SLEEPY
    process = runner.start("--cpus", "1")
    here = "--storage", runner.storage
    runner.wait_for(lambda: runner.steps.total() > 105)  # the dense run is done, a lineage is at work

    def status() -> tuple[int, str]:
        """The steps that are left, as the run has told it a few seconds ago."""
        code, printed = call(None, "status", "small", *here)
        assert code == 0
        return int(re.search(r"(\d+) of 580 steps are left", printed).group(1)), printed  # type: ignore[union-attr]

    runner.wait_for(lambda: status()[0] <= 480, timeout_s=20)
    left, printed = status()
    assert 360 < left <= 480
    assert f"pid {process.pid}" in printed
    assert "last heard of" in printed
    code, printed = call(None, "report", "small", *here)
    assert code == 0
    assert (runner.storage / "studies/small/report.md").exists()
    code, printed = call(None, "gc", *here, "--yes", "--grace-s", 0)
    assert code == 2
    assert f"pid {process.pid}" in printed
    assert call(None, "cancel", "small", "k0/seed0", *here)[0] == 0
    assert process.wait(timeout=200) == 0, runner.output[-3000:]
    assert "k0/seed0: it was cancelled" in runner.output
    assert "k0/seed0/round2/random_reinit-0: k0/seed0 ended early: it was cancelled" in runner.output
    assert {"k40/seed0 2", "k40/seed0 2 random_reinit-0"} <= runner.contents().keys()
    assert "k0/seed0 2" not in runner.contents()
    runner.wait_for_orphans()
    assert runner.run() == 0, runner.output[-3000:]
    assert {"k0/seed0 2", "k0/seed0 2 random_reinit-0"} <= runner.contents().keys()


@slow
def test_two_drivers_at_once_do_no_harm(runner: Runner, undisturbed: dict[str, str]) -> None:
    first, second = runner.start("--cpus", "1"), runner.start("--cpus", "1")
    assert (first.wait(timeout=240), second.wait(timeout=240)) == (0, 0), runner.output[-3000:]
    assert runner.contents() == undisturbed
    before = runner.steps
    assert runner.run() == 0
    assert runner.steps == before


@slow
def test_a_budget_ends_a_run_that_can_be_gone_on_with(runner: Runner, undisturbed: dict[str, str]) -> None:
    assert runner.run("--max-gpu-hours", "0.0005") == 3, runner.output[-3000:]
    assert "core-hours are spent of --max-gpu-hours 0.0005" in runner.output
    assert "the same command goes on from there" in runner.output
    assert "Traceback" not in runner.output
    runner.wait_for_orphans()
    assert runner.run() == 0
    assert runner.contents() == undisturbed


@slow
def test_a_full_disk_is_one_clear_error_and_a_rerun_goes_on(runner: Runner, undisturbed: dict[str, str]) -> None:
    runner.storage.mkdir()
    if os.geteuid() != 0 or _mount(runner.storage, "size=160k"):
        pytest.skip("only root may mount a small file system")
    try:
        assert runner.run("--tracking-uri", f"sqlite:///{runner.folder}/mlflow.db") in (1, 2), runner.output[-3000:]
        assert "the disk is full: free some space or choose another --storage" in runner.output
        assert "Traceback" not in runner.output
        runner.wait_for_orphans()
        assert not _mount(runner.storage, "remount,size=64m")
        assert runner.run() == 0, runner.output[-3000:]
        assert runner.contents() == undisturbed
    finally:
        subprocess.run(["umount", runner.storage], check=False)


def _mount(folder: Path, options: str) -> int:
    return subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True).returncode

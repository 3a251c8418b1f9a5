"""The ten minutes on a GPU: every check's code runs on a CPU, tiny; what one of them breaks, the others do not feel."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from benchmarks.gpu import __main__ as command
from benchmarks.gpu import exactness, steps, suites, waiting
from benchmarks.gpu.__main__ import CHECKS, STOPPED, Check
from benchmarks.gpu.report import Fact, Figure, rates, summary
from benchmarks.isolated import ROOT, Ended
from lth_ray.training import environment

MODULES = {f"benchmarks.gpu.{module.__name__.rpartition('.')[-1]}": module for module in (steps, exactness, waiting)}
ROWS = "tests.benchmarks.rows"
EXPECTED = {
    "ceilings": ["device", "product of two 64 x 64 matrices, float32", "copy"],
    "resnet50": ["cifar_resnet8_4 eager with masks, of a loop by hand"],
    "compiled": ["cifar_resnet8_4 eager with masks, of a loop by hand"],  # tiny ones are not compiled
    "equal": ["5 captured and eager steps of lenet_8_8"],
    "syncs": ["20 steps, lenet_8_8 captured", "20 steps, cifar_resnet8_4 as a worker of a team"],
    "lenets": ["lenet_8_8 captured", "2 x lenet_8_8 together"],
    "grouped": ["one group a worker of 4", "two groups of 4"],
    "memory": ["memory after captures"],
    "resnet20": ["2 x cifar_resnet8_4 together, of in turn"],
    "twice": ["eager, deterministic on: twice", "compiled, deterministic off: twice"],
    "loaders": ["copy from pinned memory", "packed images, 0 loaders", "an evaluation's first batch", "evaluated"],
    "pauses": ["are all weights finite?", "evaluation of resident images", "a checkpoint's copy"],
}


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have done in this process what a check has done in others."""

    def alone(call: str, given: dict[str, Any], limit_s: float, environment: Any = None) -> Ended:
        return Ended(list(exactness.digest(**given)), None, 1.0, 1.0)

    was = torch.backends.cudnn.deterministic
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", was)  # put back
    monkeypatch.setattr(exactness, "alone", alone)
    monkeypatch.setattr(exactness, "TIMED", 1)


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("check", [one for one in CHECKS if one.name in EXPECTED], ids=lambda one: one.name)
def test_a_check_runs_on_a_cpu(check: Check) -> None:
    module, _, function = check.call.partition(":")
    found = list(getattr(MODULES[module], function)(fake=True, **check.given))
    for name in EXPECTED[check.name]:
        assert any(one.name.startswith(name) for one in found), name
    for one in found:
        assert one.name
        assert math.isfinite(one.value) if isinstance(one, Figure) else one.value
        if isinstance(one, Fact):
            assert one.holds is not False, one


def test_every_check_is_tried_here_or_is_a_file_of_tests() -> None:
    files = {path.name for path in (Path(__file__).parents[1] / "gpu").glob("test_*.py")}
    assert {one.given["file"] for one in CHECKS if "file" in one.given} == files
    assert {one.name for one in CHECKS if "file" not in one.given} == EXPECTED.keys()


def test_what_waits_is_seen() -> None:
    assert waiting.waits(lambda: torch.ones(2).sum().item(), torch.device("cpu")) == "aten::_local_scalar_dense"
    assert not waiting.waits(lambda: torch.ones(2).sum(), torch.device("cpu"))


def test_a_check_that_breaks_or_hangs_takes_itself_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checks = (
        Check("first", "a broken GPU", f"{ROWS}:poisoned", 60),
        Check("second", "one that hangs", f"{ROWS}:stuck", 3),
        Check("third", "one that ends", f"{ROWS}:figures", 60),
    )
    seen = []
    monkeypatch.setattr(command, "FAKE_TIMES", 1)
    monkeypatch.setattr(command, "write", lambda document, target: seen.append(json.loads(json.dumps(document))))
    document = command.run(checks, True, tmp_path / "gpu.json", minutes=2)
    assert [one["state"] for one in document["checks"]] == ["broken", "broken", "done"]
    assert [len(one["rows"]) for one in document["checks"]] == [1, 0, 2]
    assert document["checks"][2]["rows"][0]["holds"] is False
    assert [one["state"] for one in seen[0]["checks"]] == ["not begun"] * 3  # whole from the first on
    assert seen[2]["checks"][0]["rows"][0]["name"] == "bits"  # before the process died
    said = [*capsys.readouterr().out.splitlines(), *summary(document)]
    assert any("a step" in line and "MISSED" in line and "expected 9 - 10" in line for line in said)
    assert any(line.startswith("broken, first: its process ended with status -6") for line in said)
    assert "broken, second: it was ended after 3 s" in said


def test_when_time_is_over_the_rest_is_not_begun(tmp_path: Path) -> None:
    target = tmp_path / "gpu.json"
    command.run((Check("first", "any", f"{ROWS}:figures", 60),), True, target, minutes=0.05)
    (one,) = json.loads(target.read_text())["checks"]
    assert (one["state"], one["why"]) == ("not begun", "0.05 minutes were over")
    assert {path.name for path in tmp_path.iterdir()} == {"gpu.json", "gpu.txt"}


def test_what_is_stopped_says_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(call: str, given: Any, limit_s: float, on_row: Any) -> Ended:
        on_row({"kind": "Fact", "name": "bits", "value": "the same", "holds": True})
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)  # as `timeout` does, to the process and to its group
        return Ended([], None, 1.0, 1.0)

    monkeypatch.setattr(command, "alone", stopped)
    assert command.main(["--fake", "--json", str(tmp_path / "gpu.json"), "ceilings", "equal"]) == 1
    made = json.loads((tmp_path / "gpu.json").read_text())["checks"]
    assert [(one["state"], one["why"]) for one in made] == [("begun", STOPPED), ("not begun", STOPPED)]
    assert (tmp_path / "gpu.txt").read_text().splitlines() == [
        "tiny and on a CPU: measures nothing",
        "ceilings: versions, flags, the GPU at best (begun)",
        f"  {'bits':58} the same  ok",
        "1 begun, 1 not begun",
        f"begun, ceilings: {STOPPED}",
        f"not begun, equal: {STOPPED}",
    ]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([]) == 0
    assert "there is no GPU here" in capsys.readouterr().out


def test_rates_are_work_over_time() -> None:
    found = rates("steps", "steps/s", 200, (1.0, 2.0, 4.0), least=100)
    assert (found.value, found.n, found.holds) == (100, 3, True)
    assert rates("steps", "steps/s", 200, (1.0, 2.0, 4.0), most=99).holds is False


def test_what_tests_say_is_told_test_by_test() -> None:
    report = """<testsuites><testsuite errors="0" failures="1" skipped="1" tests="3">
      <testcase name="test_a"/><testcase name="test_b"><failure message="assert 1 == 2&#10;more"/></testcase>
      <testcase name="test_c"><skipped/></testcase></testsuite></testsuites>"""
    assert list(suites.told("test_x.py", report)) == [
        Fact("test_x.py: test_b", "assert 1 == 2 more", False),
        Fact("test_x.py", "1 passed, 1 failed, 1 skipped", False),
    ]


@pytest.mark.slow
def test_all_of_it_runs_in_processes_of_its_own(tmp_path: Path) -> None:
    assert command.main(["--fake", "--json", str(tmp_path / "gpu.json"), "--minutes", "60"]) == 0
    document = json.loads((tmp_path / "gpu.json").read_text())
    assert [one["name"] for one in document["checks"]] == [one.name for one in CHECKS]
    assert all(one["state"] == "done" and one["rows"] for one in document["checks"])
    assert environment("cpu")["device"] in str(document["checks"][0]["rows"])


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_killed_anywhere_it_has_written_what_it_found(tmp_path: Path, number: signal.Signals) -> None:
    target = tmp_path / "gpu.json"
    command_line = [sys.executable, "-m", "benchmarks.gpu", "--fake", "--json", str(target), "ceilings", "resnet50"]
    process = subprocess.Popen(command_line, cwd=ROOT, stdout=subprocess.DEVNULL)
    ends = time.monotonic() + 120
    while not (target.exists() and json.loads(target.read_text())["checks"][0]["rows"]):
        assert time.monotonic() < ends
        time.sleep(0.1)
    check = psutil.Process(process.pid).children()
    process.send_signal(number)
    assert process.wait(30) == (1 if number == signal.SIGTERM else -9)
    assert not psutil.wait_procs(check, timeout=30)[1]
    first, second = json.loads(target.read_text())["checks"]
    assert first["rows"]
    assert (first["state"], second["state"]) == ("begun", "not begun")
    told = target.with_suffix(".txt").read_text()
    assert first["rows"][0]["value"] in told
    assert "begun, ceilings" in told

"""`lth-ray doctor` on this machine alone, as a user would run it, with one thing broken at a time."""

import json
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from lth_ray.running.doctor import examine
from lth_ray.running.doctor.facts import Facts, gather
from lth_ray.store import StorageError
from tests.conftest import Call


@pytest.fixture
def unused_port() -> int:
    """A port of this machine where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_ADDRESS", "RAY_JOB_ID", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    sound = replace(Facts(**gather()), disk_free=10**12, shm=2**33, torch_gpus=(), driver_gpus=(), torch_cuda=None)
    monkeypatch.setattr(examine, "gather", lambda: vars(sound))


def test_a_laptop(call: Call, tmp_path: Path) -> None:
    code, printed = call(None, "doctor", "--storage", tmp_path / "s", "--data", "digits")
    assert code == 0, printed
    assert "no problems" in printed
    assert f"\nlth-ray run digits --storage {tmp_path / 's'}\n" in printed
    assert not [path for path in (tmp_path / "s").rglob("*") if path.is_file()]


BROKEN = {
    "storage": (["--storage", "{tmp}/file"], "storage", "choose another --storage"),
    "data": (["--data", "folder:nowhere", "--data-root", "{tmp}"], "data", "--data-root"),
    "unknown data": (["--data", "digit"], "data", "did you mean digits?"),
    "tracking": (["--tracking-uri", "http://127.0.0.1:{port}"], "tracking", "mlflow server"),
    "gpus": (["--gpus-per-worker", "1"], "capacity", "add nodes"),
    "address": (["--address", "127.0.0.1:{port}"], "ray", "ray start --head"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_this_machine_lacks(case: str, call: Call, tmp_path: Path, unused_port: int) -> None:
    (tmp_path / "file").write_text("in the way")
    flags, check, said = BROKEN[case]
    flags = [flag.format(tmp=tmp_path, port=unused_port) for flag in flags]
    storage = [] if "--storage" in flags else ["--storage", str(tmp_path / "s")]
    code, printed = call(None, "doctor", "--json", *storage, *flags)
    told = json.loads(printed)
    (problem,) = (finding for finding in told["findings"] if finding["result"] == "problem")
    assert (code, told["ok"], problem["check"]) == (1, False, check)
    assert said in problem["found"] + problem["remedy"]
    assert problem["remedy"]


def test_within_bounds_a_call() -> None:
    assert examine.within(5.0, lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        examine.within(5.0, lambda: 1 // 0)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        examine.within(0.1, lambda: time.sleep(2))
    assert time.monotonic() - began < 1.5


def test_it_ends_in_time_whatever_hangs() -> None:
    code = (
        "import sys, time; from lth_ray.running.doctor import command, examine\n"
        "command.LAST_S = 0.5\n"
        "def hang(self):\n"
        "    self.findings.append(command.Finding('disk', 'ok', 'seen before'))\n"
        "    time.sleep(60)\n"
        "examine.Examination.run = hang\n"
        "command.doctor(examine.Asked('s'), json=True)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=40, check=False)
    assert done.returncode == 1
    assert [finding["check"] for finding in json.loads(done.stdout)["findings"]] == ["disk", "doctor"]


MESSAGES = {
    "cannot access /x: the disk is full: free some space": "free some space",
    "cannot reach s3://b/k: no route: x; check the network": "check the network",
    "odd": "choose another --storage",
}


@pytest.mark.parametrize("message", MESSAGES)
def test_the_remedy_of_a_storage_error(message: str) -> None:
    assert examine._found_and_remedy(StorageError(message))[1] == MESSAGES[message]

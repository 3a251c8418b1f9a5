"""Mistakes of a user: each ends in one message that names it, exit code 2 and no traceback, before Ray
starts.
"""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lth_ray import cli
from lth_ray.config import ConfigError, Data, Model, steps
from lth_ray.data.sets import idx
from lth_ray.store import Store
from tests.conftest import Call
from tests.running.conftest import SCRIPT, declared

STUDY = declared()


@pytest.fixture(autouse=True)
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lth_ray.running.driver._tune", lambda *_: pytest.fail("Ray would have been started"))


def check(printed: str, *said: str) -> None:
    assert "Traceback" not in printed
    flat = " ".join(printed.split())
    for words in said:
        assert words in flat, printed


SETTINGS = {
    "model.name=lenet_300_x": ["Model.name", "lenet_300_x"],
    "model.name=resnet19": ["Model.name", "resnet19", "resnet18"],
    "data.name=digit": ["Data.name", "'digit'", "did you mean digits?"],
    "data.validation=1397": ["Data.validation", "1397"],
    "train.lrr=1": ["'train.lrr'", "Train has no field", "did you mean lr"],
    "trains.lr=1": ["Study has no field 'trains'", "did you mean train"],
    "train.lr": ["--set 'train.lr'", "field=value"],
    "train.lr=fast": ["Train.lr = 'fast'", "finite number"],
    "prune.fraction=1.5": ["Prune.fraction = 1.5", "(0, 1)"],
    "prune.fraction=0": ["Prune.fraction = 0", "(0, 1)"],
    'prune.fraction={"conv*": 0.2}': ["conv*", "fc1.weight"],
    "prune.exclude=['conv*']": ["conv*", "fc1.weight"],
    "train.milestones=[steps(50), steps(20)]": ["Train.milestones = [", "50", "20", "out of order"],
    "rewind=[steps(101)]": ["Study.rewind", "101", "beyond the end"],
    "seeds=[0, 0]": ["Study.seeds", "given twice"],
    "seeds=[]": ["Study.seeds", "at least 1"],
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("plan", [False, True], ids=["run", "plan"])
def test_a_setting_that_is_wrong(setting: str, plan: bool, call: Call, tmp_path: Path) -> None:
    code, printed = call(STUDY, "--storage", tmp_path / "s", "--set", setting, *["--plan"] * plan)
    assert code == 2
    check(printed, *SETTINGS[setting])
    assert not plan or not (tmp_path / "s").exists()


FLAGS = {
    ("--smok",): ["--smok", "--smoke"],
    ("--cpus", "0"): ["Launch.cpus = 0", "at least 1"],
    ("--cpus", "many"): ["--cpus", "many"],
    ("--max-gpu-hours", "0"): ["Launch.max_gpu_hours = 0"],
    ("--name", "my study"): ["Launch.name = 'my study'"],
    ("--sweep", "train.lr"): ["--sweep 'train.lr'"],
    ("--sweep", "seeds=[0],[0]"): ["two lineages would be called"],
    ("--storage", "gs://bucket/there"): ["gs://", "s3://BUCKET/PREFIX"],
    ("--storage", "s3://id:secret@bucket/there"): ["credentials"],
}


@pytest.mark.parametrize("flags", FLAGS, ids=" ".join)
def test_a_flag_that_is_wrong(flags: tuple[str, ...], call: Call, tmp_path: Path) -> None:
    storage = [] if "--storage" in flags else ["--storage", tmp_path / "s"]
    code, printed = call(STUDY, *storage, *flags)
    assert code == 2
    check(printed, *FLAGS[flags])
    assert "secret" not in printed


def test_a_storage_that_cannot_be_written(call: Call, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, printed = call(STUDY, "--storage", tmp_path / "file" / "s")
    assert code == 2
    check(printed, f"{tmp_path}/file/s", "choose another --storage")


def test_a_missing_data_set_is_named_with_its_files_and_the_way_to_them(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("platformdirs.user_cache_dir", lambda _: str(tmp_path / "cache"))
    monkeypatch.setattr(idx, "_fetch", no_network)
    study = replace(STUDY, data=Data("fashion_mnist", batch_size=60, validation=5000))
    code, printed = call(study, "--storage", tmp_path / "s", "--data-root", tmp_path / "nothing")
    assert code == 2
    check(printed, "train-images-idx3-ubyte", str(tmp_path / "nothing"), "--data-root")


def test_an_arm_would_win_over_a_setting(call: Call, tmp_path: Path) -> None:
    study = replace(STUDY, arms={"fast": {"train.lr": 1e-2}, "slow": {}})
    code, printed = call(study, "--storage", tmp_path / "s", "--set", "train.lr=0.1")
    assert code == 2
    check(printed, "--set train.lr", "'fast'")


def test_of_several_studies_none_starts_where_one_is_wrong(call: Call, tmp_path: Path) -> None:
    wrong = replace(STUDY, name="wrong", rewind=[steps(101)])
    code, printed = call([STUDY, wrong], "--storage", tmp_path / "s")
    assert code == 2
    check(printed, "beyond the end")
    code, printed = call([STUDY, replace(STUDY, name="other")], "--storage", tmp_path / "s", "--name", "both")
    assert code == 2
    check(printed, "2 studies are called 'both'", "--name")
    assert not (tmp_path / "s").exists()


ABSENT = {
    ("report", "smal"): ["no study 'smal'"],
    ("status", "small"): ["no study 'small'", "none yet"],
    ("replay", "small"): ["no study 'small'"],
    ("cancel", "small", "k0/seed0"): ["no study 'small'"],
    ("reprot", "small"): ["reprot"],
}


@pytest.mark.parametrize("command", ABSENT, ids=" ".join)
def test_a_command_about_what_is_not_there(command: tuple[str, ...], call: Call, tmp_path: Path) -> None:
    code, printed = call(None, *command, "--storage", tmp_path / "s")
    assert code == 2
    check(printed, *ABSENT[command])
    assert not (tmp_path / "s").exists()


ADDRESSES = {
    "127.0.0.1:1": ["--address '127.0.0.1:1'", "no cluster answers", "ray start --head"],
    "http://head:8265": ["--address 'http://head:8265'", "ray job submit"],
    "head": ["--address 'head'", "HOST:PORT"],
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_cluster_at_an_address(address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """ray.init itself takes minutes to say so, and is not asked here."""
    from lth_ray.config import Launch
    from lth_ray.running import tuning

    monkeypatch.setattr(tuning.ray, "init", lambda **_: pytest.fail("it was asked"))
    with (
        pytest.raises(ConfigError) as caught,
        tuning.connected(Launch(str(tmp_path), address=address), tmp_path),
    ):
        pytest.fail("there is nothing to be connected to")
    check(str(caught.value), *ADDRESSES[address])


def test_a_cluster_that_is_lost_as_it_is_joined(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from lth_ray.config import Launch
    from lth_ray.running import tuning

    def init(**_: object) -> None:
        raise ConnectionError("Failed to connect\nand more")

    monkeypatch.setattr(tuning.ray, "init", init)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    with (
        pytest.raises(ConfigError, match=r"--address \$RAY_ADDRESS.*Failed to connect\)"),
        tuning.connected(Launch(str(tmp_path)), tmp_path),
    ):
        pytest.fail("there is nothing to be connected to")


def test_in_a_real_process(tmp_path: Path) -> None:
    (tmp_path / "study.py").write_text(SCRIPT)
    command = [sys.executable, "study.py", "--set", "train.milestones=[steps(50),steps(20)]"]
    root = str(Path(cli.__file__).parents[2])
    ended = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": root}
    )  # fmt: skip
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith("error: Train.milestones = [")
    assert ended.stderr.count("\n") == 1


def test_a_mistake_while_a_study_is_declared(tmp_path: Path) -> None:
    """Before `main` is reached, under `python study.py` and under `lth-ray run` alike."""
    (tmp_path / "study.py").write_text(SCRIPT.replace("lr=1e-3", "lr='fast'"))
    env = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])}
    for command in (["study.py"], ["-m", "lth_ray", "run", "study.py"]):
        ended = subprocess.run([sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, env=env)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr == "error: Train.lr = 'fast': give a finite number\n"


def test_an_error_of_another_kind_keeps_its_traceback(tmp_path: Path) -> None:
    (tmp_path / "study.py").write_text("import lth_ray\nraise ValueError('mine')\n")
    env = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])}
    ended = subprocess.run([sys.executable, "study.py"], cwd=tmp_path, capture_output=True, text=True, env=env)
    assert ended.returncode == 1
    assert "Traceback" in ended.stderr


def test_a_network_that_needs_what_nobody_gives(call: Call, tmp_path: Path) -> None:
    def net(num_classes: int, width: int, depth: int = 2) -> None:
        raise AssertionError((num_classes, width, depth))

    code, printed = call(replace(STUDY, model=Model(net)), "--storage", tmp_path / "s", "--plan")
    assert code == 2
    check(printed, "Model.name = ", "net needs 'width', which nobody gives", "Model(options={'width': ...})")


COMMANDS = [
    ["gc", "--yes"], ["status", "small"], ["report", "small"], ["replay", "small"], ["show", "k0/seed0/r1"],
    ["export", "k0/seed0/r1", "--to", "x"], ["cancel", "small", "k0/seed0"],
]  # fmt: skip


@pytest.mark.parametrize("command", [*COMMANDS, None, ["--plan"]], ids=str)
@pytest.mark.parametrize("uri", ["", "  ", "file://"])
def test_a_storage_that_names_no_place(
    command: list[str] | None, uri: str, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is never taken for the folder one happens to be in."""
    monkeypatch.chdir(tmp_path)
    Path("masks").mkdir()
    Path("masks/img1.png").write_text("mine")
    is_study = command in (None, ["--plan"])
    code, printed = call(STUDY if is_study else None, *(command or []), "--storage", uri)
    assert code == 2
    check(printed, "names no")
    assert [str(path) for path in Path().rglob("*")] == ["masks", "masks/img1.png"]


def test_collection_in_another_s_folder(call: Call, tmp_path: Path) -> None:
    (tmp_path / "masks" / "train").mkdir(parents=True)
    (tmp_path / "masks" / "train" / "img1.png").write_text("mine")
    code, printed = call(None, "gc", "--storage", tmp_path, "--grace-s", 0, "--yes")
    assert code == 2
    check(printed, "is no storage of lth_ray", "give the folder")
    assert (tmp_path / "masks" / "train" / "img1.png").exists()


@pytest.mark.parametrize("grace_s", ["nan", "inf", "-1"])
def test_a_grace_that_is_no_number(call: Call, tmp_path: Path, grace_s: str) -> None:
    Store.open(str(tmp_path))
    code, printed = call(None, "gc", "--storage", tmp_path, "--grace-s", grace_s, "--yes")
    assert code == 2
    check(printed, f"grace_s = {float(grace_s)}: give a number of seconds")


INTERRUPTED_AT = """
import sys
import lth_ray
class Finder:
    def find_spec(self, name, *_):
        if name == "torch":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Finder())
import {imported}
"""


@pytest.mark.parametrize(("imported", "is_told"), [("lth_ray.cli", True), ("torch", False)])
def test_a_ctrl_c_while_it_loads_is_no_traceback(imported: str, is_told: bool) -> None:
    code = INTERRUPTED_AT.format(imported=imported)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ("Traceback" in done.stderr) is not is_told, "of an import that is no business of ours nothing changes"
    assert (done.returncode == 130) is is_told
    assert ("interrupted before anything was begun" in done.stderr) is is_told

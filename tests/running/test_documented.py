"""The commands of README.md that look at a study and at its tickets, on a small storage with the demo's names."""

import shlex
import shutil
from pathlib import Path

import pytest

from lth_ray import Data, Model, Prune, Study, Train, steps
from lth_ray.store import Store
from tests.conftest import Call
from tests.docs.blocks import blocks
from tests.running.conftest import train_here

DEMO = Study(
    "digits",
    model=Model("lenet_20_10"),
    data=Data("digits", batch_size=60, validation=200),
    train=Train(steps(20), lr=0.1, evaluate_every=steps(20)),
    prune=Prune(fraction=0.5, rounds=3),
    rewind=[steps(0)],
    seeds=[0],
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where a reader works who has run the demo: its storage is the default one."""
    monkeypatch.chdir(tmp_path)
    train_here(DEMO, Store.open("lth_storage"))
    return tmp_path


def lines(first: str) -> list[str]:
    """The lth-ray lines of README's block that begins so, of the demo where it says NAME."""
    block = next(block for block in blocks("README.md") if block.first.startswith(first))
    return [line.replace("NAME", DEMO.name) for line in block.lines if line.startswith("lth-ray")]


@pytest.mark.slow
def test_readme_s_looks_at_a_study(call: Call, folder: Path) -> None:
    found = {}
    for line in lines("lth-ray status NAME"):
        code, found[line.partition(" #")[0].strip()] = call(None, *shlex.split(line, comments=True)[1:])
        assert code == 0, (line, found)
    assert list(found) == [
        "lth-ray status digits", "lth-ray report digits", "lth-ray report digits --against paper",
        "lth-ray replay digits",
    ]  # fmt: skip
    assert "4/4 trainings  1/1 lineages" in found["lth-ray status digits"]
    for name in ("report.html", "report.md", "report.tex", "accuracy.svg", "accuracy.png", "tickets.parquet"):
        assert (folder / "lth_storage" / "studies" / "digits" / name).exists(), name
    assert "4 results sent" in found["lth-ray replay digits"]


def test_readme_s_tickets_travel(call: Call, folder: Path) -> None:
    show, export, take = lines("lth-ray show ")
    code, printed = call(None, *shlex.split(show, comments=True)[1:])
    assert (code, "k0/seed0" in printed) == (0, True), printed
    code, printed = call(None, *shlex.split(export, comments=True)[1:])
    assert (code, (folder / "ticket.safetensors").exists()) == (0, True), printed
    words = shlex.split(export, comments=True)[1:]
    words[words.index("--to") + 1] = "pruned.safetensors"
    assert call(None, *words, "--format", "prune")[0] == 0
    shutil.rmtree("lth_storage")
    code, printed = call(None, *shlex.split(take, comments=True)[1:])
    assert code == 0, printed
    assert call(None, "show", printed.split()[-1])[0] == 0

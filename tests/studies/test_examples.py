"""The examples with one's own network and data run, on real digits written as a user's images would lie there."""

import io
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from lth_ray import Data, data
from lth_ray.data import Split
from tests.docs.blocks import blocks
from tests.repository import files
from tests.running.conftest import without_ray

__all__ = ["without_ray"]  # a fixture

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "studies" / "examples"
EPOCHS = 2
STUDY_LINES = 11  # from `study = Study(` to its closing bracket


def digits() -> dict[str, Split]:
    dataset = data.load(Data("digits", batch_size=1, validation=0))
    assert isinstance(dataset.train, Split)
    assert isinstance(dataset.test, Split)
    return {"train": dataset.train, "test": dataset.test}


def encoded(split: Split) -> Iterator[tuple[bytes, int]]:
    """(PNG, label) of each image."""
    for image, label in zip(split.images, split.labels.tolist(), strict=True):
        buffer = io.BytesIO()
        Image.fromarray((image[0].float() * 255 / split.white).byte().numpy()).save(buffer, "PNG")
        yield buffer.getvalue(), label


def write_folders(place: Path) -> None:
    for name, split in digits().items():
        for i, (png, label) in enumerate(encoded(split)):
            folder = place / "photos" / name / str(label)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{i}.png").write_bytes(png)


def write_parquet(place: Path) -> None:
    """As the Hub has beans: images as struct<bytes, path>, a column `labels`, numbered shards in data/."""
    (place / "beans" / "data").mkdir(parents=True)
    for name, split in digits().items():
        rows = [{"image": {"bytes": png, "path": f"{i}.png"}, "labels": label}
                for i, (png, label) in enumerate(encoded(split))]  # fmt: skip
        pq.write_table(pa.Table.from_pylist(rows), place / "beans" / "data" / f"{name}-00000-of-00001.parquet")


def flags() -> list[str]:
    """A seed, a rewind point, a round and some epochs of a study, in the folder that one works in."""
    shorter = [
        "seeds=[0]",
        "rewind=[epochs(0)]",
        "prune.rounds=1",
        f"train.length=epochs({EPOCHS})",
        "data.image_size=8",
    ]
    where = ["--cpus=2", "--storage", "storage", "--data-root", "data"]
    return ["--name=mine", *(f"--set={one}" for one in shorter), *where]


def check(place: Path, *asked: str) -> None:
    """Its tables hold what such a run comes to."""
    folder = place / "storage" / "studies" / "mine"
    tickets = pd.read_parquet(folder / "tickets.parquet")
    assert list(tickets["round"]) == [0, 1]
    if asked:
        assert list(pd.read_parquet(folder / "branches.parquet")["branch"]) == [*asked]
    assert tickets["test_accuracy"].min() > 0.7  # of ten classes
    assert tickets["remaining_weights"].iloc[1] == pytest.approx(0.8, abs=1e-3)
    assert set(tickets["train_steps"]) == {EPOCHS * ((1397 - 100) // 32)}


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("workers", [0, 2])
def test_ones_own_network_learns_from_folders(workers: int, tmp_path: Path) -> None:
    """From its script to its tables, by Ray, which has to bring the script's class to its workers. All paths are
    relative to the folder that one works in."""
    write_folders(tmp_path / "data")
    shared = [f"--workers={workers}", "--set=train.batch_norm_group=16", "--set=branches=[]"] if workers else []
    given = [*flags(), *shared, "--tracking-uri=sqlite:///own.db"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = [sys.executable, str(EXAMPLES / "own_folder.py"), *given]
    ended = subprocess.run(command, env=env, capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert "not in MLflow" not in ended.stderr
    left = {"cache", "data", "mlruns", "own.db", "own.db.lock", "storage"}
    assert left == {path.name for path in tmp_path.iterdir()}
    check(tmp_path, *([] if workers else ["random_reinit"]))


def test_a_network_learns_from_parquet(tmp_path: Path, without_ray: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, its trainings in this process: another Ray would show nothing that the first has not."""
    write_parquet(tmp_path / "data")
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda _: str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["own_parquet.py", *flags()])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(EXAMPLES / "own_parquet.py"), run_name="__main__")
    assert ended.value.code == 0
    assert len(without_ray) == 3  # the dense network, its ticket, the control
    check(tmp_path, "random_mask")


@pytest.mark.slow
def test_a_smaller_model_of_ones_own(
    tmp_path: Path, without_ray: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The example and the page about it: the study, its table, the file loaded by the page's lines, and the command."""
    write_folders(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda _: str(tmp_path / "cache"))
    script = (EXAMPLES / "smaller_model.py").read_text()
    page = blocks("docs/smaller.md")
    told = page[0].text
    plain = re.sub(r" *#.*", "", script[script.index("study = Study(") :])
    assert re.sub(r"\s+", "", told.replace("print(", "")) == re.sub(
        r"\s+", "", plain.replace('if __name__ == "__main__":', "").replace("print(", "")
    )
    shorter = (
        script.replace("epochs(10)", "epochs(1)")
        .replace("epochs(5)", "epochs(0)")
        .replace("image_size=32", "image_size=8")
    )
    (tmp_path / "mine.py").write_text(shorter.replace("rounds=3", "rounds=1"))
    monkeypatch.syspath_prepend(str(tmp_path))
    made = runpy.run_path("mine.py", run_name="__main__")
    assert len(without_ray) == 2
    shown = capsys.readouterr().out
    for row in ("test_accuracy", "parameters", "forward_flops", "megabytes", "ms_1", "ms_64", "times_as_fast_64"):
        assert re.search(rf"^{row} ", shown, re.MULTILINE)
    sizes = [int(number) for number in re.findall(r"^parameters +(\d+) +(\d+)", shown, re.MULTILINE)[0]]
    assert sizes[1] < 0.7 * sizes[0]
    loading = page[2].text.replace("(3, 32, 32)", "(1, 8, 8)")
    names = {"Mine": made["Mine"], "images": torch.zeros(2, 1, 8, 8)}
    exec(compile(loading, "docs/smaller.md", "exec"), names)
    assert names["logits"].shape == (2, 10)
    assert sum(p.numel() for p in names["network"].parameters()) == sizes[1]


@pytest.mark.parametrize("script", files("studies/examples", "*.py"), ids=lambda script: script.stem)
def test_a_study_is_ten_lines(script: Path) -> None:
    lines = script.read_text().splitlines()
    begins = lines.index("study = Study(")
    assert lines.index(")", begins) - begins + 1 <= STUDY_LINES

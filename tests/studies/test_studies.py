"""Every study plans; the one on digits runs for real; the smoke runs of all of them, which take longer, are slow."""

import re
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from lth_ray.data.packed.packing import Options
from lth_ray.running.history import entries_of
from lth_ray.running.packing import pack
from lth_ray.store import Store
from tests.repository import ROOT
from tests.studies.plans import SCRIPTS, TINY, declared, number_of_lineages, plan_of, start, total

PIPELINES = ("resnet50_rewind", "imagenet_oneshot", "retraining_imagenet", "early_bird_imagenet", "rethinking_imagenet")
OTHERWISE = {  # whose numbers are not compared with the papers'
    "atari_tickets", "bert_tickets", "cheap_tickets", "control_tickets", "early_bird", "early_bird_imagenet",
    "early_phase", "imagenet_oneshot", "linear_mode_connectivity", "linear_tickets", "lstm_wikitext2", "pai_sanity",
    "pai_sanity_tiny", "guided_pruning", "rethinking_imagenet", "rethinking_structured", "rethinking_unstructured",
    "pruning_at_init", "resnet50_rewind", "retraining", "retraining_imagenet", "transformer_language",
    "transfer_datasets",
    "transfer_optimizers", "translation_wmt",
    "warmup_rewind_sweep",
}  # fmt: skip


@pytest.mark.parametrize("smoke", [False, True], ids=["whole", "smoke"])
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_it_plans(script: Path, smoke: bool, shared_data: Path) -> None:
    for number, _ in enumerate(declared(script)):
        plan = plan_of(script, number, shared_data, smoke)
        assert plan.jobs
        assert len(plan.lineages) == number_of_lineages(plan.study)
        assert plan.naive_steps >= plan.unique_steps
        assert not smoke or total(script, number, shared_data, True) < total(script, number, shared_data, False) / 2


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_what_a_study_does_otherwise_than_its_paper_is_declared_and_told_of(script: Path) -> None:
    """The script's docstring speaks of the list, wherever there is one."""
    named = "OTHERWISE" in script.read_text().split('"""')[1]
    lists = [study.otherwise for study in declared(script)]
    assert named == (script.stem in OTHERWISE)
    assert all(bool(said) == named for said in lists)
    assert all(line.endswith(".") for said in lists for line in said)


@pytest.mark.timeout(600)
def test_digits_runs(tmp_path: Path) -> None:
    """A seed, three rounds and 60 steps of the real study, from its script to its tables, by Ray."""
    shorter = [f"--set={setting}" for setting in ("seeds=[0]", "prune.rounds=3", "train.length=steps(60)")]
    ended = start(ROOT / "studies" / "digits.py", tmp_path, "--storage", "storage", *shorter)
    assert ended.returncode == 0, ended.stderr[-3000:]
    folder = next((tmp_path / "storage" / "studies").iterdir())
    tickets, branches = (pd.read_parquet(folder / name) for name in ("tickets.parquet", "branches.parquet"))
    assert list(tickets["round"]) == [0, 1, 2, 3]
    assert list(branches["branch"]) == ["random_reinit", "random_mask"]
    assert (branches["round"] == 3).all()
    assert tickets["test_accuracy"].min() > 0.3
    trained = 60 * (1 + 3 + 2)
    assert f"trained {trained} steps" in ended.stderr
    assert (tmp_path / "storage" / "mlflow.db").stat().st_size > 0
    [entry] = entries_of(Store.open(str(tmp_path / "storage")), folder.name)
    assert entry["question"].startswith("Do winning tickets exist")


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "script", [one for one in SCRIPTS if one.stem not in PIPELINES], ids=lambda script: script.stem
)
def test_its_smoke_run_learns(script: Path, shared_data: Path, tmp_path: Path) -> None:
    if script.stem == "bert_tickets" and (shared_data / "minilm" / TINY).exists():
        pytest.skip("no pretrained encoder in ../shared/data/minilm")
    (tmp_path / "data").symlink_to(shared_data)
    ended = start(script, tmp_path, "--smoke", "--data-root", "data")  # as the gallery has it
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert len(re.findall(r"--smoke shortens: (?!nothing)", ended.stderr)) == len(declared(script))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", PIPELINES)
def test_two_workers_take_real_images_through_the_pipeline(name: str, shared_data: Path, tmp_path: Path) -> None:
    images = tmp_path / "data" / "imagenet"
    pack(str(shared_data / "imagenet_sample"), str(images), Options(short_side=160), False, None, 2, Console())
    script = ROOT / "studies" / f"{name}.py"
    ended = start(script, tmp_path, "--smoke", "--workers=2", "--data-root", "data")
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert ended.stderr.count("pipeline only") == len(declared(script))
    assert not re.search(r"% test|accuracy, %", ended.stderr)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_the_gallery_says_what_it_costs(script: Path, shared_data: Path) -> None:
    page = (ROOT / "docs" / "gallery.md").read_text()
    for number, study in enumerate(declared(script)):
        told = re.search(rf"^\| `{script.stem}\.py` \| `{study.name}` \|(.*)\|$", page, re.MULTILINE)
        assert told, f"docs/gallery.md lacks {study.name}: run `make gallery`"
        lineages, _, steps, *_ = (cell.strip() for cell in told[1].split("|"))
        found = number_of_lineages(study), total(script, number, shared_data, False)
        assert (lineages, steps) == tuple(f"{value:,}" for value in found), f"{study.name}: run `make gallery`"

"""The studies that come with lth_ray: listed without being executed, and run by their names."""

import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from lth_ray.cli import lth_ray
from lth_ray.commands import published
from lth_ray.config import ConfigError, Data, Model, Prune, Study, Train, steps
from tests.repository import ROOT, files
from tests.studies.plans import SCRIPTS, declared


def test_every_script_asks_a_question_after_a_paper() -> None:
    listed = {one.script: one for one in published.published()}
    assert set(listed) == set(files("studies", "*.py"))
    for script, one in listed.items():
        assert re.fullmatch(r"[A-Z].*\?.*", one.question), script
        assert one.papers, f"{script}: its docstring names no paper, as Frankle & Carbin 2019"


def test_papers_are_found_in_the_forms_that_scripts_use(tmp_path: Path) -> None:
    script = tmp_path / "one.py"
    script.write_text('"""Is it so?\n\nFrankle, Dziugaite,\nRoy & Carbin 2019 and Liu et al. 2019, Liu et al. 2019."""')
    assert published.asked_in(script) == ("Is it so?", ("Frankle, Dziugaite, Roy & Carbin 2019", "Liu et al. 2019"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_the_table_of_costs_has_its_studies(script: Path) -> None:
    rows = published.table_of_costs().get(script.stem, [])
    assert [row["study"] for row in rows] == [study.name for study in declared(script)], "run docs/scripts/sizing.py"


def test_a_name_means_a_script_or_one_of_its_studies() -> None:
    assert published.script_of("digits") == (ROOT / "studies" / "digits.py", None)
    assert published.script_of("conv_cifar10") == (ROOT / "studies" / "conv_cifar10.py", None)
    assert published.script_of("conv4-cifar10") == (ROOT / "studies" / "conv_cifar10.py", "conv4-cifar10")
    with pytest.raises(ConfigError, match=r"no study 'digit': did you mean digits"):
        published.script_of("digit")


def test_one_of_several_studies_is_planned_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And in a wheel's folder, which is inside of the package."""
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "both.py").write_text('''"""Which?

After Frankle & Carbin 2019."""
from lth_ray import Data, Model, Prune, Study, Train, main, steps
if __name__ == "__main__":
    main([Study(name, model=Model("lenet_8"), data=Data("digits", batch_size=60, validation=0),
                train=Train(steps(7), lr=0.1), prune=Prune(fraction=0.2, rounds=1), rewind=[steps(0)], seeds=[0])
          for name in ("one", "other")])
''')
    header = "script,study,trainings,steps,pflop,core_hours,a100_hours,h100_hours,gpu_gb,gb\n"
    rows = [f"both,{name},2,14,1.5,3,12345,0.5,,0.1\n" for name in ("one", "other")]
    (tmp_path / "studies" / "costs.csv").write_text(header + "".join(rows))
    monkeypatch.setattr(published, "PACKAGE", tmp_path)
    published.published.cache_clear()
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.chdir(tmp_path)
    try:
        assert published.folder() == tmp_path / "studies"
        done = CliRunner().invoke(lth_ray, ["plan", "other"])
        both = CliRunner().invoke(lth_ray, ["plan", "both"])
        listed = " ".join(CliRunner().invoke(lth_ray, ["studies"], env={"COLUMNS": "120"}).output.split())
        console = Console(record=True, width=120)
        published.print_one("both", console)
    finally:
        published.published.cache_clear()
    assert done.exit_code == 0
    assert re.findall(r"plan of (\w+)", done.output) == ["other"]
    assert re.findall(r"plan of (\w+)", both.output) == ["one", "other"]
    assert re.search(r"both +Which\? +Frankle & Carbin 2019 +4 trainings; 6 core-hours or 24,690 A100-hours", listed), (
        listed
    )
    told = console.export_text()
    assert "After Frankle & Carbin 2019." in told
    assert re.search(r"other +2 +1\.5 +3 +12,345 +not estimated +0\.1", told), told


def test_a_name_that_its_script_has_no_more_runs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    from lth_ray.cli.study import CHOSEN, main

    token = CHOSEN.set("conv9-cifar10")
    study = Study(
        "conv2", model=Model("conv2"), data=Data("digits", batch_size=60, validation=0), train=Train(steps(1), lr=0.1),
        prune=Prune(fraction=0.2, rounds=1), rewind=[steps(0)], seeds=[0],
    )  # fmt: skip
    try:
        with pytest.raises(SystemExit) as ended:
            main(study)
    finally:
        CHOSEN.reset(token)
    assert ended.value.code == 2
    assert "'conv9-cifar10': its script declares no study of that name any more, but conv2" in capsys.readouterr().err

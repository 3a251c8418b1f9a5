"""docs/reproductions.md has of every study that was run at full length what was run, and tables of that very run."""

import re
from typing import Any

import pandas
import pytest

from tests.docs.blocks import loaded, read
from tests.repository import ROOT

PAGE = read("docs/reproductions.md")
FOLDER = ROOT / "docs" / "reproductions"
NAMES = re.findall(r"<!-- run (\w+) -->", PAGE)


@pytest.fixture(scope="module")
def reproductions() -> Any:
    return loaded("reproductions")


def part(name: str) -> str:
    found = re.search(rf"<!-- run {name} -->\n(.*?)<!-- / -->", PAGE, re.DOTALL)
    assert found
    return found[1]


def test_the_page_has_every_study_of_the_script(reproductions: Any) -> None:
    assert sorted(NAMES) == sorted(reproductions.REPEATED)


@pytest.mark.parametrize("name", NAMES)
def test_the_tables_hold_what_the_page_says(name: str, reproductions: Any) -> None:
    text, figures = part(name), reproductions.REPEATED[name].figures
    said = re.search(r"n = (\d+) seeds of tickets.*?; (\d+) of \d+ tickets, (\d+) of \d+ branch", text)
    assert said, "nothing was run: make reproductions"
    tickets = pandas.read_parquet(FOLDER / name / "tickets.parquet")
    branches = pandas.read_parquet(FOLDER / name / "branches.parquet")
    assert (tickets["seed"].nunique(), len(tickets), len(branches)) == tuple(map(int, said.groups()))
    for figure in figures:
        assert f"(reproductions/{name}/{figure}.png)" in text
        assert (FOLDER / name / f"{figure}.png").stat().st_size < 80_000


@pytest.mark.parametrize("name", NAMES)
def test_what_was_run_is_of_the_paper_s_length(name: str, reproductions: Any) -> None:
    one = reproductions.REPEATED[name]
    script = next(study for study in reproductions.declared(one.script) if study.name == one.study)
    study = one.declared()
    assert (study.model, study.data, study.train) == (script.model, script.data, script.train)
    assert set(study.arms) <= set(script.arms)
    assert set(study.rewind) <= set(script.rewind)
    assert len(study.seeds) >= 3


def test_the_numbers_against_the_paper_follow_from_the_table() -> None:
    """Recomputed with pandas alone: Frankle & Carbin's early-stop step at 21 % of the weights."""
    tickets = pandas.read_parquet(FOLDER / "lenet_mnist" / "tickets.parquet")
    iterative = tickets[tickets["arm"] == "iterative"]
    steps = iterative.pivot_table(index="seed", columns="round", values="early_stop_step")
    shares = iterative.groupby("round")["remaining_weights"].mean()
    nearest = (shares - 0.21).abs().idxmin()
    change = (100 * (steps[nearest] / steps[0] - 1)).dropna()
    line = next(line for line in part("lenet_mnist").splitlines() if "early-stop step, change from dense" in line)
    _, _, n, ours, *_ = (cell.strip() for cell in line.split("|"))
    assert int(n) == len(change)
    assert float(ours.split(" ")[0]) == pytest.approx(change.mean(), abs=0.006)

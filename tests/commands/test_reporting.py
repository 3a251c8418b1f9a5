"""A screen of 80 columns with a study's results; nothing runs here."""

import io
from typing import Any

import pytest
from rich.console import Console

from lth_ray import record
from lth_ray.commands.reporting import compared, print_against_paper
from lth_ray.config import Data, Model, Prune, Study, Train, steps
from lth_ray.record.paper.targets import targets_of

ROUNDS = range(25)


def row(seed: int, number: int, **fields: Any) -> dict[str, Any]:
    return {
        "lineage": f"iterative/k0/seed{seed}", "arm": "iterative", "method": "weights", "seed": seed, "rewind_step": 0,
        "round": number, "remaining_weights": 0.8**number, "test_accuracy": 0.97 + 0.001 * seed - 0.001 * number,
        "early_stop_step": 1000, "test_accuracy_at_early_stop": 0.97, "diverged_at": None, **fields,
    }  # fmt: skip


def tickets() -> list[dict[str, Any]]:
    return [row(seed, number) for number in ROUNDS for seed in range(3)]


def shown(something: Any) -> str:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(something)
    return console.export_text()


def study(**fields: Any) -> Study:
    train = Train(steps(10), lr=0.1)
    return Study(
        "mine", model=Model("lenet_300_100"), data=Data("digits", batch_size=60, validation=0), train=train,
        prune=Prune(fraction=0.2, rounds=1), rewind=[steps(0)], seeds=[0], **fields,
    )  # fmt: skip


def report(group: str, against: Any) -> record.Report:
    frame = record.summary(tickets(), [])
    return record.Report(frame, record.comparisons(tickets(), []), [], against, group, (), (), "", (), "")


def said(made: record.Report, of: Study) -> str:
    console = Console(width=80, record=True, file=io.StringIO())
    print_against_paper(made, of, console)
    return console.export_text()


def test_a_study_of_many_rounds_fits_a_screen() -> None:
    branches = [
        {**row(seed, 24, branch=name), "index": 0} for name in ("random_reinit", "random_mask") for seed in (0, 1)
    ]
    text = shown(compared(record.summary(tickets(), branches)))
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    heading = next(line for line in text.splitlines() if "weights remaining" in line)
    densities = heading.replace(" %", "").split()[2:]
    assert (len(densities), densities[0], densities[-1]) == (6, "100", "0.472")  # the round that all of them have
    assert "2 or 3 seeds" in text


def test_rounds_of_different_densities_are_named_by_number() -> None:
    slow = [row(0, number, lineage="slow/k0/seed0", arm="slow", remaining_weights=0.9**number) for number in ROUNDS]
    text = shown(compared(record.summary([*tickets(), *slow], [])))
    assert "round 24" in text
    assert "100 %" in text


def test_a_comparison_with_papers_says_why_there_is_none() -> None:
    nothing = record.against_paper([], [], [])
    assert "no target of a paper is known for 'mine'" in said(report("", nothing), study())
    assert "'unknown'; Study.against names one of: conv2-cifar10" in said(report("", nothing), study(against="unknown"))
    known = said(report("lenet-mnist", nothing), study(against="lenet-mnist"))
    assert f"comparable with the {len(targets_of('lenet-mnist'))} targets of lenet-mnist" in known


def test_ours_and_theirs_fit_a_screen() -> None:
    against = record.against_paper(tickets(), [], targets_of("lenet-mnist"))
    text = said(report("lenet-mnist", against), study(against="lenet-mnist"))
    assert "against Frankle & Carbin 2019 [P]" in text
    assert {"inside", "outside"} & set(text.split())


@pytest.mark.parametrize("group", ["lenet-mnist", ""])
def test_a_study_may_name_its_group(group: str) -> None:
    assert study(against=group).against == group

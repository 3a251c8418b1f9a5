"""Several studies on one page."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from lth_ray.config import ConfigError, Study, Table
from lth_ray.lottery import Plan, make_plan
from lth_ray.record.report.side_by_side import LONGEST, differences_listing, folder_of, side_by_side
from lth_ray.store import Store

Fill = Callable[..., None]


@pytest.fixture
def plans(make_study: Callable[..., Study]) -> list[Plan]:
    first = make_study()
    other = replace(first, name="others", prune=replace(first.prune, one_shot=True), seeds=[0, 1, 2])
    return [make_plan(first), make_plan(other)]


def test_two_studies_stand_under_one_heading(plans: list[Plan], store: Store, fill: Fill) -> None:
    for plan in plans:
        fill(store, plan)
    made = side_by_side(plans, store)
    page, text = (store.get(path).decode() for path in (made.page, made.others[0]))
    assert made.page == "studies/tickets+others/report.html"
    assert "<h1>tickets and others</h1>" in page
    assert '<svg viewBox="' in page
    assert [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ticket, ")][:2] == [
        "ticket, tickets", "ticket, others",
    ]  # fmt: skip
    assert [words.partition(":")[0] for words in made.found] == ["tickets", "others"]
    assert "| prune.one_shot | False | True |" in text
    assert "train.lr" not in text
    assert "## Verdicts of others" in text
    assert "studies/tickets+others/accuracy.csv" in made.others
    assert 'id="study"' not in page  # each study has its own page for that


def test_many_studies_have_a_folder_with_a_name_that_a_file_system_takes() -> None:
    names = [f"lenet-{number:02}" for number in range(25)]
    assert len("+".join(names)) == 224
    folders = {folder_of(chosen) for chosen in (names, names[::-1], [*names[1:], "lenet-25"])}
    assert len(folders) == 3
    assert all(len(folder) == len("25_studies-") + 12 and folder.startswith("25_studies-") for folder in folders)
    assert folder_of(names[:22]) == "+".join(names[:22])
    assert len(folder_of(["研究" * 50, "b"]).encode()) <= LONGEST


def test_only_fields_that_differ_are_told(plans: list[Plan]) -> None:
    assert differences_listing(plans).lines == [
        ("prune.one_shot", "False", "True"), ("seeds", "0, 1", "0, 1, 2"),
    ]  # fmt: skip
    assert differences_listing([plans[0], plans[0]]).lines == []


def test_what_cannot_be_compared_is_told(plans: list[Plan], store: Store) -> None:
    with pytest.raises(ConfigError, match="name each study once"):
        side_by_side([plans[0], plans[0]], store)
    study = replace(plans[1].study, data=Table("diabetes", batch_size=32, validation=60, test=60))
    with pytest.raises(ConfigError, match=r"different metrics \(tickets by accuracy, others by R²\)"):
        side_by_side([plans[0], replace(plans[1], study=study)], store)

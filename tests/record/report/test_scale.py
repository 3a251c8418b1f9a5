"""Pages, figures and tables of a study of thousands of lineages stay readable, and say what they leave out."""

import pytest

from lth_ray.printing import enumerated
from lth_ray.record.figures import metric as metric_module
from lth_ray.record.figures import metric_figure
from lth_ray.record.report.configuration import written
from lth_ray.record.report.environments import Environment, versions
from lth_ray.record.report.listing import MOST_LINES, Listing, in_csv, on_a_page
from lth_ray.record.report.making import SOME
from lth_ray.record.report.summary import summary

LINES = [(f"k{number}", str(number)) for number in range(MOST_LINES + 20)]


def test_a_page_holds_the_first_lines_of_a_long_table_and_its_file_all() -> None:
    whole = Listing("Every round", ("subnetwork", "round"), LINES, ("subnetwork",), "Means.")
    shown = on_a_page(whole)
    assert shown.lines == LINES[:MOST_LINES]
    assert shown.note == "The first 500 of 520 lines; every-round.csv, beside this page, has all. Means."
    assert in_csv(whole).splitlines()[:2] == ["subnetwork,round", "k0,0"]
    assert len(in_csv(whole).splitlines()) == len(LINES) + 1
    assert on_a_page(shown) is shown


def test_a_sentence_names_a_few_of_many() -> None:
    many = (str(number) for number in range(2000))
    assert enumerated(many, most=SOME) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 1,988 more"
    assert enumerated("abc", most=3) == "a, b or c"


def test_a_swept_field_of_thousands_of_values_is_told_by_its_first() -> None:
    swept = written({"train.lr": [0.001 * (number + 1) for number in range(1000)]})
    assert swept.startswith("train.lr: [0.001, 0.002,")
    assert swept.endswith("0.04, ... 1,000 in all]")


def ticket(value: int, number: int) -> dict[str, object]:
    row = {"lineage": f"lr={value}/k0/seed0", "arm": "", "method": "weights", "seed": 0, "rewind_step": 0}
    row |= {"steps_per_epoch": 10, "round": number, "remaining_weights": 0.8**number, "remaining_of_all": 0.8**number}
    row |= {"test_accuracy": 0.9, "test_error": 0.1, "early_stop_step": None, "early_stop_at_end": None}
    return row | {"train_steps": 10, "diverged_at": None, "test_accuracy_at_early_stop": None, "train.lr": value}


def test_a_figure_draws_whole_series_evenly_from_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metric_module, "MOST_OF_ALL", 12)
    rows = [ticket(value, number) for value in range(40) for number in (0, 1, 2)]
    figure = metric_figure(summary(rows, [], ["train.lr"]), "many")
    names = [text for axes in figure.axes for text in axes.get_legend_handles_labels()[1] if "lr" in text]
    assert len(names) == 12
    assert any(text.endswith("lr 0 (n=1)") or "lr 0" in text for text in names)
    assert any("lr 39" in text for text in names)
    words = " ".join(text.get_text() for text in figure.texts)
    assert "12 of 40 lines are shown; the tables have all." in words.replace("\n", " ")


def test_the_versions_that_made_a_study_are_told_as_a_sentence_has_them() -> None:
    def made_by(lth_ray: str, torch: str) -> Environment:
        return Environment(1, "a processor", "", 1, 1, "3.11", "Linux", (("lth_ray", lth_ray), ("torch", torch)))

    places = [made_by("0.5.0", "2.14.1"), made_by("0.1.0", "2.14.1"), made_by("0.2.0", "2.14.1")]
    assert versions(places) == "lth_ray 0.1.0, 0.2.0 or 0.5.0, torch 2.14.1"

"""Tables in words: those ready for a paper, and how they are written."""

from collections.abc import Callable
from typing import Any

import pytest

from lth_ray.config import Barrier, Rewind, Study, steps
from lth_ray.record.report.configuration import configured, written
from lth_ray.record.report.listing import Listing, in_latex, in_markdown
from lth_ray.record.report.paper_table import paper_listings, rounds_shown
from lth_ray.record.report.summary import summary
from tests.record.figures.setups import SEEDS, row

LISTING = Listing("Accuracy (%)", ("what", "100 %"), [("a_b|c", "97.1 ± 0.2")], ("what",), "n = 3.")


def test_a_listing_in_markdown() -> None:
    assert in_markdown(LISTING) == "| what | 100 % |\n| --- | ---: |\n| a_b\\|c | 97.1 ± 0.2 |\n\nn = 3.\n"


def test_a_listing_in_latex() -> None:
    text = in_latex(LISTING, "resnet50-rewind_2")
    assert "\\begin{tabular}{lr}" in text
    assert "a\\_b|c & 97.1 $\\pm$ 0.2 \\\\" in text
    assert "\\caption{Accuracy (\\%). n = 3.}\n  \\label{tab:resnet50-rewind-2-accuracy}\n" in text


def test_dashes_and_minus_signs_are_those_of_latex() -> None:
    cells = ("80\N{EN DASH}51.2 %", "-0.30 pp ± 0.1", "early-stop", "2.3e-05", "(-.5)", "k0-1")
    row = in_latex(Listing("x", tuple("abcdef"), [cells]), "y").splitlines()[8]
    assert row == r"    80--51.2 \% & $-$0.30 pp $\pm$ 0.1 & early-stop & 2.3e-05 & ($-$.5) & k0-1 \\"


def accuracies(rounds: int, **fields: Any) -> list[dict[str, Any]]:
    values = (0.96, 0.97, 0.98)
    return [
        row(seed, number, test_accuracy=values[seed] - 0.01 * number, **fields)
        for number in range(rounds) for seed in SEEDS
    ]  # fmt: skip


def test_the_papers_table_has_a_column_for_each_density() -> None:
    (listing,) = paper_listings(summary(accuracies(3), []))
    assert listing.headings == ("weights remaining", "100 %", "80 %", "64 %", "n")
    half = 4.302653 * 1 / 3**0.5  # t of two degrees of freedom; the standard deviation is one point
    assert listing.lines == [("ticket", f"97.00 ± {half:.2f}", f"96.00 ± {half:.2f}", f"95.00 ± {half:.2f}", "3")]


def test_early_stop_steps_have_a_table_where_they_were_measured() -> None:
    rows = [one | {"early_stop_step": 100 * (one["seed"] + 1)} for one in accuracies(2)]
    listing = paper_listings(summary(rows, []))[1]
    assert listing.lines == [("ticket", "200 ± 248", "200 ± 248", "3")]  # t = 4.303, standard error 100 / sqrt(3)


def test_a_wide_table_is_cut_to_what_a_page_holds() -> None:
    frame = summary(accuracies(25), [])
    assert rounds_shown(frame, 7)[::6] == [0, 24]
    assert len(paper_listings(frame)[0].headings) <= 9
    assert paper_listings(frame.iloc[:0]) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (steps(500), "steps(500)"), (Rewind(steps(0)), "Rewind(steps(0))"), ([0, 1], "0, 1"), (1e-4, "0.0001"),
        (Barrier(children=3, rounds=[0, 4]), "Barrier(rounds=[0, 4], children=3)"),
        ({"a": {"b": [1, 2]}}, "a: {b: [1, 2]}"),
    ],
)  # fmt: skip
def test_values_are_written_as_a_script_has_them(value: Any, text: str) -> None:
    assert written(value) == text


def test_every_field_that_is_set_is_told(make_study: Callable[..., Study]) -> None:
    settings = {setting.name: setting for setting in configured(make_study())}
    assert (settings["train.lr"].value, settings["train.lr"].is_default) == ("0.0012", False)
    assert settings["train.momentum"].is_default
    assert settings["prune.fraction"].value == "fc*: 0.2, output.weight: 0.1"
    assert "RandomMask(rounds=[3])" in settings["branches"].value
    assert not {"name", "smoke", "train.loss"} & set(settings)

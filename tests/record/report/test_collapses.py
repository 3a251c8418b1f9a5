"""The table and the figure of layer collapse, by hand."""

import pandas
import pytest

from lth_ray.record.figures import collapse_figure
from lth_ray.record.report.collapses import collapsed_words, collapses, collapses_listing


def ticket(arm, seed, number, remaining, empty, cut=False):
    return {
        "lineage": f"{arm}/k0/seed{seed}", "arm": arm, "method": "weights", "rewind_step": 0, "seed": seed,
        "round": number, "remaining_weights": remaining, "empty_layers": empty, "cut": cut, "max_compression": 5000.0,
        "lowest_layer_density": 0.0 if empty else remaining / 2, "key": f"{arm}{seed}{number}",
    }  # fmt: skip


ROWS = [
    ticket("snip", 0, 1, 0.1, 0), ticket("snip", 0, 2, 0.01, 0), ticket("snip", 0, 3, 0.001, 1, True),
    ticket("snip", 1, 1, 0.1, 0), ticket("snip", 1, 2, 0.01, 1), ticket("snip", 1, 3, 0.001, 0),
    ticket("synflow", 0, 1, 0.1, 0), ticket("synflow", 0, 2, 0.01, 0), ticket("synflow", 0, 3, 0.001, 0),
    {**ticket("snip", 0, 0, 1.0, None), "cut": None, "lowest_layer_density": None},
]  # fmt: skip


def test_critical_compression_is_the_highest_before_a_layer_is_empty():
    """Of seed 1 it is 10: what is whole beyond a collapse does not count. Maximal is 5,000."""
    snip, synflow = collapses(ROWS).to_dict("records")
    assert snip["series"] == "snip/k0"
    assert snip["critical_compression"] == pytest.approx((100 + 10) / 2)
    assert snip["critical_half_width"] == pytest.approx(12.7062 * 45, rel=1e-4)  # t of one degree of freedom
    assert (snip["collapsed_from"], snip["cut_from"]) == pytest.approx((100, 1000))
    assert (snip["max_compression"], snip["n"]) == (5000, 2)
    assert synflow["critical_compression"] == pytest.approx(1000)
    assert pandas.isna(synflow["collapsed_from"])
    listing = collapses_listing(collapses(ROWS))
    assert listing.lines[0] == ("snip/k0", "55 ± 571.8", "5,000", "100", "1,000", "2")
    assert listing.lines[1][-3:] == ("", "", "1")


def test_nothing_is_said_where_nothing_collapses():
    whole = [row for row in ROWS if not row["empty_layers"]]
    assert collapses(whole).empty
    assert collapses_listing(collapses(whole)) is None
    assert collapse_figure(pandas.DataFrame(whole)) is None
    assert collapsed_words(whole) == ""
    assert collapsed_words(ROWS).startswith("Tickets with a layer that keeps no weight: 2; cut in two")


def test_the_figure_has_a_line_an_arm_and_crosses_where_layers_are_empty():
    figure = collapse_figure(pandas.DataFrame(ROWS), "title")
    (panel,) = figure.axes
    lines = {line.get_label(): line for line in panel.lines}
    assert list(lines["snip (n = 1\N{EN DASH}2)"].get_xdata()) == pytest.approx([10, 100, 1000])
    assert list(lines["snip (n = 1\N{EN DASH}2)"].get_ydata()) == pytest.approx([5, 0.5, 0.05])
    crosses = [list(line.get_xdata()) for line in panel.lines if line.get_marker() == "x" and len(line.get_xdata())]
    assert [sorted(at) for at in crosses] == [pytest.approx([100, 1000])]
    assert "maximal compression" not in lines
    figure.draw_without_rendering()
    assert {"10", "1", "0.1"} <= {label.get_text() for label in panel.get_yticklabels()}

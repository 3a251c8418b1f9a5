"""The common parts of all figures: names, numbers of runs, choices, looks, the page."""

from itertools import pairwise

import pytest

from lth_ray.record.figures.drawing.line_styles import beside, looks, ramp
from lth_ray.record.figures.drawing.lines import counted, gather
from lth_ray.record.figures.drawing.measured import evenly, stem_of
from lth_ray.record.figures.drawing.page import Page
from lth_ray.record.figures.drawing.panels import compact, note
from lth_ray.record.report.summary import subnetwork


@pytest.mark.parametrize(
    ("branch", "number", "kind"),
    [
        ("", 0, "dense"), ("", 3, "ticket"), ("barrier", 0, "dense"), ("barrier", 3, "ticket"),
        ("random_mask", 3, "random_mask"), ("random_mask-0/barrier", 3, "random_mask"),
        ("shuffled_mask-layer-1/stability", 3, "shuffled_mask"), ("random_reinit-0/random_mask", 1, "random_mask"),
    ],
)  # fmt: skip
def test_what_a_measurement_is_of(branch: str, number: int, kind: str) -> None:
    assert subnetwork({"branch": branch, "round": number}) == kind


STEPS = {0: "0", 500: "500", 999: "999", 2000: "2k", 12_500: "12.5k", 999_499: "999k", 999_500: "1M", 1e6: "1M"}


@pytest.mark.parametrize(("steps", "text"), STEPS.items())
def test_steps_are_short(steps: float, text: str) -> None:
    assert compact(steps) == text


@pytest.mark.parametrize(
    ("points", "text"),
    [
        ([(3, 3)], "n = 3"), ([(9, 3)], "n = 3 (9 runs)"), ([(2, 1)], "n = 1 (2 runs)"),
        ([(3, 3), (5, 5)], "n = 3\N{EN DASH}5"), ([], "n = 0"),
    ],
)  # fmt: skip
def test_n_counts_seeds(points: list[tuple[int, int]], text: str) -> None:
    assert counted(points) == text


def test_copies_of_a_seed_are_averaged_before_seeds_are() -> None:
    """Means of the seeds: .6 and .8; of all runs it would be .65, in an interval as narrow as of four trials."""
    values = [(0, 0.5), (0, 0.6), (0, 0.7), (1, 0.8)]
    rows = [{"key": f"{seed}/{y}", "seed": seed, "x": 2, "y": y} for seed, y in values]
    line = gather("copies", rows, "x", "y")
    half = 12.706 * (0.2 / 2**0.5) / 2**0.5  # t of one degree of freedom x standard error
    assert (line.label, line.mean) == ("copies (n = 2 (4 runs))", (pytest.approx(0.7),))
    assert (line.low[0], line.high[0]) == pytest.approx((0.7 - half, 0.7 + half), rel=1e-4)


def test_one_seed_has_no_interval_however_many_copies() -> None:
    rows = [{"key": str(y), "seed": 0, "x": 2, "y": y} for y in (0.4, 0.5, 0.6)]
    line = gather("copies", rows, "x", "y")
    assert line.low == line.mean == line.high == (pytest.approx(0.5),)


def test_few_of_many_are_even_and_have_both_ends() -> None:
    assert evenly(list(range(10)), 4) == [0, 3, 6, 9]
    assert evenly([1, 2], 4) == [1, 2]
    assert len({look.colour for look in ramp(5)}) == 5


def test_a_page_makes_room_for_its_words() -> None:
    few, many = (Page.of(["a label"] * n, "a caption") for n in (1, 40))
    assert many.height > few.height


@pytest.mark.parametrize(
    ("lineage", "words"),
    [
        ("k0/seed1", ""), ("one_shot/k500/seed0", "one shot"), ("train.warmup=steps(100)/k0/seed0", "train.warmup 100"),
        ("a/warmup=epochs(5)/k0/seed0", "a, warmup 5 epochs"),
    ],
)  # fmt: skip
def test_an_arm_and_swept_values_in_words(lineage: str, words: str) -> None:
    assert stem_of({"lineage": lineage}) == words


def test_lines_can_be_told_apart_in_grey() -> None:
    from matplotlib.colors import to_rgb

    def grey(colour: str) -> float:
        return sum(share * part for share, part in zip((0.3, 0.59, 0.11), to_rgb(colour), strict=True))

    shades = [grey(look.colour) for look in ramp(5)]
    assert all(darker + 0.08 < lighter for darker, lighter in pairwise(shades))
    assert len({look.marker for look in looks(7)}) == 7
    assert len({str(look.dashes) for look in ramp(4, is_dashed=True)}) == 4


def test_error_bars_at_one_place_stand_beside_each_other() -> None:
    assert beside(1) == [0]
    assert beside(3) == pytest.approx([-1.3, 0, 1.3])
    assert max(beside(40)) <= 5


@pytest.mark.parametrize("columns", [1, 2, 3])
@pytest.mark.parametrize(("top", "is_wider"), [(1.0, False), (123_456_789.0, True)])
def test_long_numbers_of_an_axis_have_their_room(columns: int, top: float, is_wider: bool) -> None:
    """Neither the figure's edge nor the panel on the left cuts into them."""
    page = Page.of([], "a caption", 1, columns, gap=0.3)
    figure, panels = page.begin()
    for panel in panels:
        panel.set_ylim(0, top)
        panel.ticklabel_format(style="plain", axis="y")
        panel.set_ylabel("a name")
    page.finish(figure, "a title", ([], []))
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    ends = [0.0, *(panel.get_window_extent(renderer).x1 for panel in panels)]
    for panel, left in zip(panels, ends, strict=False):
        assert panel.yaxis.get_tightbbox(renderer).x0 > left
    assert (panels[0].get_position().x0 * figure.get_figwidth() > page.left) == is_wider


@pytest.mark.parametrize(
    ("points", "corner"),
    [
        ([], (0.98, 0.99)),
        ([(1.0, 0.99)], (0.02, 0.99)),
        ([(0.0, 1.0), (1.0, 1.0)], (0.98, 0.01)),
        ([(0.0, 0.0), (0.0, 1.0), (1.0, 1.0)], (0.98, 0.01)),
        ([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0), (0.0, 0.0)], (0.98, 0.99)),
    ],
)
def test_a_note_stands_where_nothing_is_drawn(points: list[tuple[float, float]], corner: tuple[float, float]) -> None:
    _, (panel,) = Page.of([], "a caption").begin()
    panel.plot([x for x, _ in points], [y for _, y in points])
    panel.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    note(panel, "1 reported value out of range")
    assert panel.texts[0].get_position() == corner

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lth_ray.config import ACCURACY
from lth_ray.record.paper.comparing import against_paper
from lth_ray.record.paper.quantities import measured_as
from lth_ray.record.paper.targets import Target, group_of, groups, targets, targets_of
from lth_ray.record.paper.words import paper_listing, paper_tables, said
from lth_ray.record.report.listing import in_markdown

RECIPES = Path(__file__).resolve().parents[3] / "shared" / "docs" / "RECIPES.md"


def written(frame: Any) -> str:
    listing = paper_listing(frame)
    assert listing is not None
    return in_markdown(listing)


def row(seed: int, number: int, accuracy: float | None, branch: str = "", **fields: Any) -> dict[str, Any]:
    given = {
        "lineage": f"iterative/k0/seed{seed}", "arm": "iterative", "method": "weights", "seed": seed, "rewind_step": 0,
        "round": number, "remaining_weights": 0.8**number, "test_accuracy": accuracy, "early_stop_step": None,
    }  # fmt: skip
    return {**given, **({"branch": branch, "index": 0} if branch else {}), **fields}


def target(**fields: Any) -> Target:
    first = targets_of("lenet-mnist")[0]
    given = {"relation": "", "low": fields.get("value", first.value), "high": fields.get("value", first.value)}
    return replace(first, **{**given, **fields})


@pytest.mark.parametrize(
    ("name", "against", "group"),
    [
        ("lenet-mnist", "", "lenet-mnist"),
        ("lenet-mnist-smoke", "", "lenet-mnist"),
        ("conv2-cifar10-smoke-lr_0.1", "", "conv2-cifar10"),
        ("digits", "", ""),
        ("mine", "lmc-vgg16", "lmc-vgg16"),
        ("lenet-mnist", "unknown", ""),
    ],
)
def test_a_study_is_compared_with_its_own_group_or_the_one_it_names(name: str, against: str, group: str) -> None:
    assert group_of(name, against) == group


def test_every_target_is_marked_and_can_be_read() -> None:
    assert len(targets()) > 100
    for one in targets():
        assert re.fullmatch(r"[CDPNR](, [CDPNR])?", one.mark), one
        assert one.low <= one.value <= one.high
        assert one.study in groups()
        weights = one.remaining_weights
        assert weights is None or 0 < weights[0] <= weights[1] <= 1
    assert not target(mark="N, R").is_checked
    assert target(mark="C, D").is_checked
    assert {one.where for one in targets()} == {""}  # the recipes give no page


@pytest.mark.skipif(not RECIPES.exists(), reason="the recipes are not at hand")
def test_every_value_is_in_its_paper_s_section_of_the_recipes() -> None:
    text = RECIPES.read_text()
    sections = {part.partition("[")[0].strip(): part for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]}
    for one in targets():
        authors, year = one.paper.rsplit(" ", 1)
        found = [part for head, part in sections.items() if authors.split(" ")[0] in head and year in head]
        assert found, one.paper
        for value in {one.value} if one.relation else {one.low, one.high}:
            number = f"{abs(value):g}"
            written = {number, number.lstrip("0") or "0", f"{abs(value):.1f}", f"{abs(value):.2f}"}
            patterns = [rf"(?<!\d){re.escape(digits)}(?!\d)" for digits in written]
            is_written = any(re.search(pattern, part) for pattern in patterns for part in found)
            assert is_written or value in (0, -1), one  # "back to the dense curve", "within 1 pp"


def lenet(seeds: int = 3) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Seeds' curves whose tickets gain .4 pp at 21 % and stop at 600 of 1,000 steps; reinits stop at 1,500."""
    tickets, branches = [], []
    for seed in range(seeds):
        dense = 0.97 + 0.001 * seed
        tickets.append(row(seed, 0, dense, early_stop_step=1000))
        for number, gain in ((7, 0.004), (9, 0.002), (16, -0.01)):
            tickets.append(row(seed, number, dense + gain + 0.0005 * (seed - 1), early_stop_step=600))
            branches.append(row(seed, number, dense - 0.002, "random_reinit", early_stop_step=1500))
    return tickets, branches


@pytest.mark.parametrize(
    ("wanted", "ours", "in_spread"),
    [
        ({"quantity": "early_stop_step", "value": -38.0, "unit": "%"}, -40.0, False),
        ({"quantity": "early_stop_step", "value": 2.5, "unit": "x faster", "relative_to": "random_reinit"}, 2.5, True),
        ({"quantity": "test_accuracy", "value": 0.42, "unit": "pp"}, 0.4, True),
        ({"quantity": "test_accuracy", "value": 0.5, "unit": "pp"}, 0.4, False),
        ({"quantity": "test_accuracy", "value": 0.5, "low": float("-inf"), "relation": "<=", "unit": "pp"}, 0.4, True),
        ({"quantity": "test_accuracy", "value": 0.5, "high": float("inf"), "relation": ">", "unit": "pp"}, 0.4, False),
        ({"quantity": "test_accuracy", "value": 97.5, "unit": "%", "relative_to": ""}, 97.5, True),
        ({"quantity": "best_test_accuracy", "value": 0.4, "unit": "pp", "remaining_weights": None}, 0.4, True),
        ({"quantity": "falls_below_dense", "value": 2.9, "unit": "% of weights", "remaining_weights": None},
         100 * 0.8**16, False),
    ],
)  # fmt: skip
def test_quantities_are_measured_as_the_papers_do(wanted: dict[str, Any], ours: float, in_spread: bool) -> None:
    [line] = against_paper(*lenet(), [target(**wanted)]).to_dict("records")
    assert line["ours"] == pytest.approx(ours)
    assert line["n"] == 3
    assert line["difference"] == pytest.approx(ours - wanted["value"])
    assert line["in_spread"] is in_spread


def test_only_the_same_arm_rewind_step_and_density_are_compared() -> None:
    tickets, branches = lenet()
    known = target(quantity="test_accuracy", value=0.4, unit="pp")
    others: list[dict[str, Any]] = [
        {"arm": "one_shot"}, {"rewind_step": "500"}, {"remaining_weights": (0.5, 0.5)}, {"method": "scratch"},
    ]  # fmt: skip
    for changes in others:
        assert against_paper(tickets, branches, [replace(known, **changes)]).empty
    other = [{**r, "lineage": r["lineage"].replace("k0", "k9"), "rewind_step": 9} for r in tickets]
    lines = against_paper([*tickets, *other], branches, [replace(known, rewind_step="")])
    assert list(lines["series"]) == ["iterative/k0", "iterative/k9"]


def resnet(first_below: int) -> list[dict[str, Any]]:
    """Tickets of "Resnet-18" by the weights of its 19 convolutions, whose shortcuts' and output's are never pruned."""
    never = 16 * 32 + 32 * 64 + 64 * 10
    every = left = 3 * 9 * 16 + 6 * 9 * 16**2 + 9 * 16 * 32 + 5 * 9 * 32**2 + 9 * 32 * 64 + 5 * 9 * 64**2
    rows = []
    for number in range(13):
        shares = {"remaining_weights": left / every, "remaining_of_all": (left + never) / (every + never)}
        accuracy = 0.9 if number >= first_below else 0.906
        rows += [row(seed, number, accuracy if number else 0.905, arm="warmup20k", **shares) for seed in range(3)]
        left -= round(0.2 * left)
    return rows


def test_a_paper_is_compared_with_its_own_denominator() -> None:
    shares = {one["round"]: 100 * one["remaining_of_all"] for one in resnet(13)}
    assert [round(shares[number], 1) for number in (4, 6, 7, 10)] == [41.7, 27.1, 21.9, 11.8]  # as the paper prints
    wanted = [one for one in targets_of("resnet20-cifar10") if one.remaining_weights == (0.219, 0.417)]
    [line] = against_paper([one | {"arm": "low"} for one in resnet(6)], [], wanted).to_dict("records")
    assert line["ours"] == pytest.approx(100 * (2 * 0.906 + 2 * 0.9) / 4)  # rounds 4 to 7


@pytest.mark.parametrize(("first", "agrees"), [(9, False), (10, False), (11, True)])
def test_a_density_that_the_paper_prints_is_that_of_its_round(first: int, agrees: bool) -> None:
    """Tickets down to 11.8 %, round 10: they fall below dense after it."""
    wanted = [one for one in targets_of("resnet20-cifar10") if one.quantity == "falls_below_dense"]
    [line] = against_paper(resnet(first), [], wanted).to_dict("records")
    assert line["in_spread"] is agrees
    printed = replace(wanted[0], relation="", low=11.8, high=11.8)
    [line] = against_paper(resnet(first), [], [printed]).to_dict("records")
    assert line["in_spread"] is (first == 10)


def test_rewind_points_and_stable_copies_may_be_told_in_epochs() -> None:
    wanted = [one for one in targets_of("resnet50-rewind") if one.rewind_step or one.quantity == "stable_from"]
    fields = {"arm": "", "steps_per_epoch": 1251}
    tickets, copies = [], []
    for seed in range(3):
        for epoch, accuracy in ((1, 0.7), (6, 0.76)):
            lineage = {"lineage": f"k{1251 * epoch}/seed{seed}", "rewind_step": 1251 * epoch, **fields}
            tickets += [row(seed, 0, 0.76, **lineage), row(seed, 7, accuracy, **lineage)]
            for number, barrier in ((0, 0.3), (7, 0.3 if epoch == 1 else 0.0)):
                measured = {"spawn_step": 1251 * epoch, "lmc_error_barrier": barrier}
                copies.append(row(seed, number, None, "barrier", **lineage, **measured))
    lines = against_paper(tickets, copies, wanted).to_dict("records")
    assert [(line["quantity"], line["ours"], line["unit"]) for line in lines] == [
        ("test_accuracy", pytest.approx(0), "pp"), ("stable_from", 6, "epochs"),
    ]  # fmt: skip


def test_rewinding_suffices_where_tickets_match_wherever_the_latest_do() -> None:
    tickets = []
    for seed in range(3):
        for step, matches_to in ((0, 1), (100, 5), (500, 4), (2000, 4)):
            for number in range(8):
                accuracy = 0.9 - (0.01 if number > matches_to else 0.001 if number else 0)
                name = f"standard/k{step}/seed{seed}"
                tickets.append(row(seed, number, accuracy, lineage=name, arm="standard", rewind_step=step))
    wanted = [one for one in targets_of("stability-resnet20") if one.quantity == "rewinding_suffices_from"]
    [line] = against_paper(tickets, [], wanted).to_dict("records")
    assert (line["ours"], line["theirs"], line["n"]) == (100, 500, 3)


def test_what_a_study_does_otherwise_makes_numbers_not_comparable() -> None:
    known = target(quantity="test_accuracy", value=0.42, unit="pp", comparable=False)
    frame = against_paper(*lenet(), [known])
    assert frame["in_spread"].tolist() == [None]
    assert "(not comparable)" in written(frame)


def test_an_unchecked_source_and_a_single_seed_get_no_verdict() -> None:
    known = target(quantity="test_accuracy", value=0.4, unit="pp")
    for frame in (
        against_paper(*lenet(), [replace(known, mark="N, R")]), against_paper(*lenet(seeds=1), [known]),
    ):  # fmt: skip
        assert frame["in_spread"].tolist() == [None]
    assert "(unchecked)" in written(against_paper(*lenet(), [replace(known, mark="N, R")]))


def test_retraining_reaches_the_largest_compression_over_rewind_points() -> None:
    tickets = []
    for seed in range(3):
        for step, reached in ((0, 3), (500, 5)):
            for number in range(8):
                accuracy = 0.9 + 0.001 * seed + (0.001 if 0 < number <= reached else -0.001 if number else 0)
                lineage = f"iterative/k{step}/seed{seed}"
                tickets.append(row(seed, number, accuracy, lineage=lineage, rewind_step=step))
    wanted = target(quantity="largest_compression", value=4.77, unit="x", remaining_weights=None, rewind_step="")
    [line] = against_paper(tickets, [], [wanted]).to_dict("records")
    assert (line["ours"], line["n"], line["in_spread"]) == (pytest.approx(0.8**-5), 3, None)


def test_stability_begins_where_every_later_barrier_is_low() -> None:
    barriers = {0: 0.3, 100: 0.01, 500: 0.05, 1000: 0.015, 2000: 0.0}
    branches = [
        row(seed, 0, None, "barrier", spawn_step=step, lmc_error_barrier=barrier, share_travelled=0.3)
        for seed in range(3) for step, barrier in barriers.items()
    ]  # fmt: skip
    common: dict[str, Any] = {"series": "dense", "relative_to": "", "remaining_weights": None, "rewind_step": ""}
    wanted = [
        target(quantity="stable_from", value=2000.0, unit="steps", **common),
        target(quantity="share_travelled", value=35.0, low=25.0, high=45.0, unit="%", **common),
    ]
    lines = against_paper([], branches, wanted).to_dict("records")
    assert [line["ours"] for line in lines] == [1000, pytest.approx(30)]
    assert lines[1]["in_spread"]


def test_distances_to_data_order_are_those_of_copies() -> None:
    branches = [
        row(seed, 10, None, f"{host}stability", compared=compared, l2_distance=distance)
        for seed in range(3)
        for host, compared, distance in (("", "order", 20.0), ("", "pruning", 9.0), ("random_mask-0/", "order", 60.0))
    ]
    wanted = [replace(one, arm="") for one in targets_of("stability-lenet")]
    assert list(against_paper([], branches, wanted)["ours"]) == [20, 60]


def test_ours_and_theirs_in_words() -> None:
    wanted = [target(quantity="early_stop_step", value=-38.0, unit="%"), target(quantity="unknown", value=1.0)]
    frame = against_paper(*lenet(), wanted)
    page = written(frame)
    what = "ticket (iterative/k0) at 21 %: early-stop step, change from dense (%)"
    assert f"| {what} | 3 | -40.00 ± 0.00 | -38.00 | -2.00 | outside | Frankle & Carbin 2019 [P] |" in page
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(paper_tables(frame))
    assert "against Frankle & Carbin 2019 [P]" in console.export_text()
    assert paper_listing(against_paper([], [], wanted)) is None


def test_every_quantity_that_is_measured_has_its_words() -> None:
    assert said(ACCURACY).keys() == measured_as(ACCURACY).keys()

import io
from collections.abc import Callable
from typing import Any

import pytest
from pyarrow import parquet
from rich.console import Console

from lth_ray.analysis.statistics import holm, p_above
from lth_ray.config import Branch
from lth_ray.lottery import Plan, branch_rows, ticket_rows
from lth_ray.lottery.branches import BRANCHES, controls, copies
from lth_ray.record.report.comparisons import comparisons, write_comparisons
from lth_ray.record.report.listing import Listing, in_markdown
from lth_ray.record.report.verdicts import comparisons_listing, comparisons_table, verdicts_listing
from lth_ray.store import Store

DENSE = [0.970, 0.975, 0.972]
TICKETS = [0.971, 0.976, 0.972]  # + .001, .001, 0
MASKS = [0.951, 0.950, 0.949]


def written(listing: Callable[[Any], Listing | None], frame: Any) -> str:
    found = listing(frame)
    assert found is not None
    return in_markdown(found)


def row(seed: int, number: int, accuracy: float | None, branch: str = "", **fields: Any) -> dict[str, Any]:
    given = {
        "lineage": f"k0/seed{seed}", "arm": "", "method": "weights", "seed": seed, "rewind_step": 0, "round": number,
        "remaining_weights": 0.8**number, "test_accuracy": accuracy, "diverged_at": None if accuracy else 7,
    }  # fmt: skip
    return {**given, **({"branch": branch, "index": 0} if branch else {}), **fields}


def rows_of(number: int, accuracies: list[float], branch: str = "", **fields: Any) -> list[dict[str, Any]]:
    return [row(seed, number, accuracy, branch, **fields) for seed, accuracy in enumerate(accuracies)]


def test_tickets_are_paired_with_their_own_dense_networks_and_controls() -> None:
    frame = comparisons([*rows_of(0, DENSE), *rows_of(2, TICKETS)], rows_of(2, MASKS, "random_mask"))
    dense, mask = frame.to_dict("records")
    assert (dense["against"], dense["round"], dense["n"]) == ("dense", 2, 3)
    assert dense["difference"] == pytest.approx(0.002 / 3)
    assert (dense["difference_min"], dense["difference_max"]) == (0.0, pytest.approx(0.001))
    assert (dense["margin"], dense["matching"]) == (0.002, "matching")
    assert dense["matching_p"] == pytest.approx(p_above([0.001, 0.001, 0.0], -0.002))  # the only one of its kind
    assert (mask["against"], mask["superiority"]) == ("random mask", "better")
    assert mask["superiority_p"] == pytest.approx(p_above([0.020, 0.026, 0.023], 0.0))


def test_superiority_is_corrected_over_the_whole_study() -> None:
    shuffled = rows_of(2, [0.960, 0.974, 0.971], "shuffled_mask", scope="layer")
    tickets = [*rows_of(0, DENSE), *rows_of(2, TICKETS), *rows_of(1, TICKETS)]
    branches = [*rows_of(2, MASKS, "random_mask"), *shuffled, *rows_of(1, MASKS, "random_mask")]
    controls = comparisons(tickets, branches).query("against != 'dense'").reset_index()
    assert list(controls["against"]) == ["random mask", "shuffled mask, scope layer", "random mask"]
    mask, layer = p_above([0.020, 0.026, 0.023], 0.0), p_above([0.011, 0.002, 0.001], 0.0)
    assert mask is not None
    assert layer is not None
    assert list(controls["superiority_p"]) == pytest.approx(holm([mask, layer, mask]))
    assert list(controls["superiority"]) == ["better", "not shown", "better"]


def test_matching_is_corrected_over_the_whole_study() -> None:
    """The same round is a match by itself and none among eighteen: five seeds cannot show that many claims."""
    dense, ticket = [0.970, 0.975, 0.972, 0.974, 0.971], [0.9715, 0.9736, 0.9729, 0.9761, 0.9691]
    alone = comparisons([*rows_of(0, dense), *rows_of(1, ticket)], []).iloc[0]
    assert (alone["matching"], 0.01 < alone["matching_p"] < 0.05) == ("matching", True)
    rounds = [r for n in range(1, 19) for r in rows_of(n, ticket)]
    frame = comparisons([*rows_of(0, dense), *rounds], [])
    assert set(frame["matching"]) == {"not shown"}
    assert frame["matching_p"].iloc[0] == pytest.approx(18 * alone["matching_p"])


def test_a_margin_under_one_image_of_the_test_set_is_one_image() -> None:
    tickets = [*rows_of(0, DENSE), *rows_of(2, TICKETS)]
    frame = comparisons(tickets, [], margin=0.002, n_test=400)
    assert (frame.iloc[0]["margin"], frame.iloc[0]["margin_asked"]) == (0.0025, 0.002)
    page = written(verdicts_listing, frame)
    assert "less than 0.25 pp worse" in page
    assert "The margin asked for, 0.20 pp, is 0.8 of an image of this test set, which cannot resolve it" in page
    large = written(verdicts_listing, comparisons(tickets, [], margin=0.005, n_test=400))
    assert "less than 0.50 pp worse" in large
    assert "resolve" not in large


def timed(number: int, stops: list[int], branch: str = "", at_end: bool = False) -> list[dict[str, Any]]:
    rows = rows_of(number, TICKETS, branch)
    return [{**r, "early_stop_step": s, "early_stop_at_end": at_end} for r, s in zip(rows, stops, strict=True)]


def test_tickets_that_learn_faster_are_said_to() -> None:
    """Against dense 100, 110 and 90 steps earlier, against masks 20, -10 and 30."""
    tickets = [*timed(0, [300, 320, 310]), *timed(1, [200, 210, 220])]
    frame = comparisons(tickets, timed(1, [220, 200, 250], "random_mask"))
    dense, mask = frame.to_dict("records")
    raw = [p_above([100, 110, 90], 0.0), p_above([20, -10, 30], 0.0)]
    assert (dense["steps_earlier"], dense["faster"], mask["faster"]) == (100, "faster", "not shown")
    assert [dense["faster_p"], mask["faster_p"]] == pytest.approx(holm([p for p in raw if p is not None]))
    assert "| ticket | dense | early stop | 3 | faster at 80 % |" in written(verdicts_listing, frame)


def test_tickets_that_still_learn_when_training_ends_have_no_verdict_on_speed() -> None:
    """Their step may come later, so that what is measured is too early; a control's may only come later."""
    frame = comparisons([*timed(0, [500, 500, 500], at_end=True), *timed(1, [200, 210, 220])], [])
    assert frame.iloc[0]["faster"] == "faster"
    frame = comparisons([*timed(0, [900, 900, 900]), *timed(1, [600, 600, 600], at_end=True)], [])
    assert frame.iloc[0]["faster"] == "no verdict (still learning)"
    assert frame["faster_p"].isna().all()


def test_copies_of_a_seed_are_one_trial_and_the_diverged_are_none() -> None:
    reinits = [*rows_of(1, [0.90, 0.91, 0.92], "random_reinit"), row(0, 1, 0.94, "random_reinit", index=1)]
    reinits[2] = row(2, 1, None, "random_reinit")
    frame = comparisons([*rows_of(0, DENSE), *rows_of(1, TICKETS)], reinits)
    line = frame.iloc[1]
    assert (line["n"], line["superiority"]) == (2, "no verdict (n = 2)")
    assert line["difference"] == pytest.approx((0.971 - 0.92 + 0.976 - 0.91) / 2)


def test_under_three_seeds_there_is_no_verdict_in_any_of_its_forms() -> None:
    frame = comparisons([*rows_of(0, DENSE[:2]), *rows_of(1, TICKETS[:2])], rows_of(1, MASKS[:2], "random_mask"))
    assert set(frame["matching"].dropna()) | set(frame["superiority"].dropna()) == {"no verdict (n = 2)"}
    assert frame["matching_p"].isna().all()
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(comparisons_table(frame))
    for text in (written(comparisons_listing, frame), console.export_text()):
        assert text.count("no verdict (n = 2)") == 2
        assert "| matching |" not in text


def test_arms_and_other_branches_are_not_mixed_up() -> None:
    def of(arm: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**one, "lineage": f"{arm}/{one['lineage']}", "arm": arm} for one in rows]

    tickets = [*rows_of(0, DENSE), *rows_of(1, TICKETS)]
    branches = [*rows_of(1, MASKS, "perturb"), *rows_of(1, MASKS, "random_mask")]
    frame = comparisons([*of("one", tickets), *of("other", tickets)], of("one", branches))
    assert list(zip(frame["arm"], frame["against"], strict=True)) == [
        ("one", "dense"), ("one", "random mask"), ("other", "dense"),
    ]  # fmt: skip


def test_the_page_says_what_was_tested_and_the_screen_where_it_holds() -> None:
    tickets = [*rows_of(0, DENSE), *(r for n in (1, 2, 3) for r in rows_of(n, TICKETS)), *rows_of(4, MASKS)]
    frame = comparisons(tickets, [])
    page = written(comparisons_listing, frame)
    assert "| ticket | 1 | 80.00 % | dense | +0.07 pp ± 0.14 | matching | 0.031 |  |  |  | 3 |" in page
    brief = written(verdicts_listing, frame)
    assert "| ticket | dense | accuracy | 3 | matching at 80\N{EN DASH}51.2 %; not shown at 41 % |" in brief
    assert "less than 0.20 pp worse" in brief
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(comparisons_table(frame))
    assert "matching at 80\N{EN DASH}51.2 %; not shown at 41 %" in console.export_text()


def test_they_are_a_table_on_disk(plan: Plan, store: Store, fill: Callable[..., None]) -> None:
    fill(store, plan)
    path = write_comparisons(store, "tickets", comparisons(ticket_rows(plan, store), branch_rows(plan, store)))
    table = parquet.read_table(io.BytesIO(store.get(path)))
    assert path == "studies/tickets/comparisons.parquet"
    assert table.column("against").to_pylist() == [
        "dense", "random reinit", "dense", "random reinit", "dense", "random reinit", "random mask",
    ]  # fmt: skip
    assert table.column("superiority").to_pylist()[0] is None
    empty = write_comparisons(store, "tickets", comparisons([], []))
    assert parquet.read_table(io.BytesIO(store.get(empty))).num_rows == 0


def test_without_results_nothing_is_said() -> None:
    assert comparisons_listing(comparisons([], [])) is None
    assert verdicts_listing(comparisons([], [])) is None


def test_what_is_a_control_is_said_by_its_config(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(Branch):
        is_control = True

    assert controls() == {
        "crossed_mask", "cyclic", "permuted_mask", "random_mask", "random_reinit", "rescored", "scratch",
        "shuffled_mask",
    }  # fmt: skip
    rows, branches = [*rows_of(0, DENSE), *rows_of(2, TICKETS)], rows_of(2, MASKS, "own")
    assert list(comparisons(rows, branches)["against"]) == ["dense"]
    monkeypatch.setitem(BRANCHES, Own, ("own", copies(lambda host, branch, seed: host.segment)))
    assert list(comparisons(rows, branches)["against"]) == ["dense", "own"]

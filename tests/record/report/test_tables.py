import io
from collections.abc import Callable
from typing import Any

import pytest
from pyarrow import parquet
from scipy import stats

from lth_ray.config import ACCURACY, Study, steps
from lth_ray.lottery import Plan, branch_rows, make_plan, ticket_rows
from lth_ray.record.figures.drawing.measured import by_variant
from lth_ray.record.report.listing import in_markdown
from lth_ray.record.report.summary import summary
from lth_ray.record.report.tables import ticket_columns, write_tables
from lth_ray.record.report.wording import headings, labels, render, summary_listing
from lth_ray.store import Store

Fill = Callable[..., None]


def read(store: Store, path: str) -> Any:
    return parquet.read_table(io.BytesIO(store.get(path)))


def row(seed: int, number: int, accuracy: float | None, branch: str = "", **fields: Any) -> dict[str, Any]:
    """A row of a study that varies nothing but what `fields` says."""
    measured = {
        "remaining_weights": 0.8**number, "test_accuracy": accuracy, "test_accuracy_at_early_stop": accuracy,
        "early_stop_step": None if accuracy is None else 100,
    }  # fmt: skip
    given = {
        "lineage": f"k0/seed{seed}", "arm": "", "method": "weights", "seed": seed, "rewind_step": 0, "round": number,
    }  # fmt: skip
    return {**given, **measured, **({"branch": branch, "index": 0} if branch else {}), **fields}


def test_tables_hold_every_row_and_its_types(plan: Plan, store: Store, fill: Fill) -> None:
    fill(store, plan)
    rows = ticket_rows(plan, store), branch_rows(plan, store)
    paths = write_tables(store, "tickets", *rows)
    assert paths == ("studies/tickets/tickets.parquet", "studies/tickets/branches.parquet")
    tickets, branches = (read(store, path) for path in paths)
    assert tickets.to_pylist() == rows[0]
    assert branches.to_pylist() == rows[1]
    assert str(tickets.schema.field("diverged_at").type) == "int64"  # where it is None throughout


def test_a_study_without_results_has_tables_with_columns(store: Store) -> None:
    tickets, branches = (read(store, path) for path in write_tables(store, "tickets", [], []))
    assert tickets.num_rows == branches.num_rows == 0
    assert tickets.column_names == list(ticket_columns())
    assert branches.column_names[-2:] == ["branch", "index"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.2, {"fc*": 0.2}], ["0.2", '{"fc*": 0.2}']),
        ([1, 0.5], [1.0, 0.5]),
        ([None, True], [None, True]),
        (["adam", None], ["adam", None]),
        ([[1], [2]], ["[1]", "[2]"]),
    ],
)
def test_swept_values_of_several_kinds_are_text(store: Store, values: list[Any], expected: list[Any]) -> None:
    rows = [{"lineage": "k0/seed0", "swept": value} for value in values]
    assert read(store, write_tables(store, "tickets", rows, [])[0])["swept"].to_pylist() == expected


def test_a_line_states_mean_spread_and_n() -> None:
    tickets = [row(seed, 0, accuracy) for seed, accuracy in enumerate([0.96, 0.97, 0.98])]
    line = summary(tickets, []).iloc[0]
    assert line.test_accuracy == pytest.approx(0.97)
    assert (line.test_accuracy_min, line.test_accuracy_max, line.runs, line.seeds) == (0.96, 0.98, 3, 3)
    interval = stats.t.interval(0.95, 2, loc=0.97, scale=0.01 / 3**0.5)
    assert line.test_accuracy_half_width == pytest.approx((interval[1] - interval[0]) / 2)
    assert (line.early_stop_step, line.early_stop_step_min, line.early_stop_step_max) == (100, 100, 100)


def test_one_run_has_no_interval() -> None:
    assert summary([row(0, 0, 0.9)], []).iloc[0].test_accuracy_half_width is None


def test_results_without_an_accuracy_are_left_to_their_own_figures() -> None:
    measured = [
        {**row(0, 1, None, "barrier"), "lmc_error_barrier": 0.1},
        {name: value for name, value in row(0, 1, 0.9, "stability").items() if not name.startswith("test_")},
    ]
    frame = summary([row(0, 1, 0.9)], [*measured, row(0, 1, float("nan"), "random_mask", diverged_at=7)], ["noise"])
    assert list(frame["branch"]) == ["", "random_mask"]
    assert (frame.iloc[1].diverged, frame.iloc[1].runs) == (1, 1)


def test_copies_of_a_seed_are_averaged_before_seeds_are() -> None:
    """Of all four runs the mean would be .65."""
    values = [(0, 0.5), (0, 0.6), (0, 0.7), (1, 0.8)]
    line = summary([], [row(seed, 1, y, "random_reinit", index=i) for i, (seed, y) in enumerate(values)]).iloc[0]
    assert (line.runs, line.seeds) == (4, 2)
    assert (line.test_accuracy, line.test_accuracy_min, line.test_accuracy_max) == pytest.approx((0.7, 0.6, 0.8))
    low, high = stats.t.interval(0.95, 1, loc=0.7, scale=0.1)
    assert line.test_accuracy_half_width == pytest.approx((high - low) / 2)


def test_early_stop_steps_at_the_end_of_training_are_told() -> None:
    steps_ = [(0, 300, False), (1, 600, True)]
    rows = [row(s, 0, 0.9, early_stop_step=step, early_stop_at_end=end, train_steps=600) for s, step, end in steps_]
    frame = summary(rows, [])
    assert (frame.iloc[0].at_end, frame.iloc[0].early_stop_step) == (1, 450)
    assert "| ≥ 450 ± 1,906 |" in in_markdown(summary_listing(frame))


def test_copies_count_as_runs_of_fewer_seeds() -> None:
    branches = [row(seed, 1, 0.9, "random_reinit", index=index) for seed in (0, 1) for index in range(3)]
    line = summary([], branches).iloc[0]
    assert (line.runs, line.seeds, line.branch) == (6, 2, "random_reinit")


def test_the_diverged_are_counted_and_in_no_mean() -> None:
    line = summary([row(0, 1, 0.9), row(1, 1, None)], []).iloc[0]
    assert (line.runs, line.diverged, line.test_accuracy) == (2, 1, 0.9)
    assert "(1 diverged)" in in_markdown(summary_listing(summary([row(0, 1, 0.9), row(1, 1, None)], [])))


def test_series_differ_by_arm_sweep_method_and_rewind_point(
    make_study: Callable[..., Study], store: Store, fill: Fill
) -> None:
    study = make_study(
        arms={"fast": {}, "slow": {"train.lr": 0.1}}, sweep={"train.warmup": (steps(0), steps(20))},
        rewind=[steps(0), steps(100)],
    )  # fmt: skip
    plan = make_plan(study)
    fill(store, plan)
    frame = summary(ticket_rows(plan, store), branch_rows(plan, store))
    tickets = frame[frame.branch == ""]
    assert len(tickets) == 2 * 2 * 2 * 4
    assert set(tickets.runs) == {2}
    assert labels(frame)[0] == "ticket, fast, k = 0, warmup 0"
    assert len(set(labels(frame))) == 3 * 2 * 2 * 2


def test_what_the_columns_do_not_tell_apart_the_lineage_does() -> None:
    rows = [row(0, 0, 0.9), row(0, 0, 0.8, lineage="restored/k0/seed0")]
    assert labels(summary(rows, [])) == ["ticket, k0", "ticket, restored/k0"]


def test_branches_are_told_apart_by_their_parameters() -> None:
    branches = [row(0, 1, 0.9, "shuffled_mask", scope=scope) for scope in ("global", "layer")]
    frame = summary([row(0, 1, 0.9)], [*branches, row(0, 1, 0.9, "random_reinit-0/random_mask")])
    assert labels(frame) == [
        "ticket", "shuffled mask, scope global", "shuffled mask, scope layer", "random reinit, then random mask",
    ]  # fmt: skip


def test_results_on_the_copies_of_a_branch_are_one_line_as_the_copies_are() -> None:
    paths = ["random_mask-0/random_reinit", "random_mask-1/random_reinit", "perturb-redrawn-signs=rewound-0/barrier"]
    branches = [row(seed, 1, 0.8 + 0.1 * i, path) for seed in (0, 1) for i, path in enumerate(paths)]
    frame = summary([], branches)
    assert labels(frame) == ["random mask, then random reinit", "perturb redrawn signs rewound, then barrier"]
    line = frame.iloc[0]
    assert (line.seeds, line.runs, line.test_accuracy) == (2, 4, pytest.approx(0.85))


def test_a_parameter_is_told_of_a_branch_only_where_it_tells_its_results_apart() -> None:
    given = [("perturb", 0.0, "init"), ("perturb", 1.0, "init"), ("supermask", 2.0, "signed")]
    branches = [row(0, 1, 0.9, branch, noise=noise, values=values) for branch, noise, values in given]
    assert labels(summary([], branches)) == ["perturb, noise 0", "perturb, noise 1", "supermask"]


def test_a_mapping_is_told_only_where_nothing_else_implies_it() -> None:
    given = [("init", {"lr": 100.0}), ("signed_constant", {"lr": 100.0}), ("signed_constant", {"lr": 20.0})]
    branches = [row(0, 1, 0.9, "supermask", values=values, train=train) for values, train in given]
    assert labels(summary([], branches[:2])) == ["supermask, values init", "supermask, values signed_constant"]
    assert all("lr" in label for label in labels(summary([], branches)))


def test_changes_of_fields_are_told_in_words() -> None:
    changed = [{"invert": True}, {"data": "random_labels"}, {"per_class": 5, "mode": "eval"}]
    branches = [row(0, 1, 0.9, "rescored", changes=changes) for changes in changed]
    found = labels(summary([], branches))
    assert found == ["rescored, invert", "rescored, data random labels", "rescored, per class 5, mode eval"]
    barriers = [row(0, 1, None, "barrier", changes=changes, align=i > 0) for i, changes in enumerate(changed)]
    named = list(by_variant(barriers, ("changes", "align")))
    assert named == ["invert, not align", "data random labels, align", "per class 5, mode eval, align"]


def test_a_supermask_s_method_is_its_own_and_what_was_not_trained_stops_nowhere() -> None:
    learned = [row(0, 0, 0.6, "supermask", method=method, rescale=True) for method in ("bernoulli", "edge_popup")]
    untrained = row(0, 1, 0.4, "perturb", trained=False, train_steps=0)
    frame = summary([row(0, 0, 0.9)], [*learned, untrained, row(0, 1, 0.8, "perturb", trained=True)])
    assert labels(frame) == [
        "ticket", "supermask, bernoulli", "supermask, edge popup", "perturb, not trained", "perturb, trained",
    ]  # fmt: skip
    assert frame["early_stop_step"].isna().tolist() == [False, False, False, True, False]


def test_the_summary_as_text() -> None:
    frame = summary([row(0, 0, 0.97), row(1, 0, 0.98)], [row(0, 1, 0.9, "random_mask", index=i) for i in range(2)])
    lines = in_markdown(summary_listing(frame)).splitlines()
    assert lines[0] == f"| {' | '.join(headings(ACCURACY))} |"
    assert lines[2].startswith("| ticket | 0 | 100.00 % | 97.50 % ± 6.35 | 100 ± 0 |")
    assert lines[3].endswith("| 1 (2 runs) |")
    assert "±" not in lines[3]  # copies of one seed are one trial
    assert render(frame).row_count == 2

"""A study that is judged by no accuracy: what its report, its verdicts, its live view and its MLflow runs say."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lth_ray.commands.reporting import compared, least_learnt
from lth_ray.commands.status import in_store
from lth_ray.config import Barrier, ConfigError, Model, Prune, RandomReinit, Study, Table, Train, set_fields, steps
from lth_ray.config.tasks.metric import ACCURACY, R2, RMSE, Metric
from lth_ray.config.variants import variants
from lth_ray.lottery import Plan, carry_out, make_plan
from lth_ray.lottery.kept.stored import finished
from lth_ray.record import comparisons, comparisons_table, summary
from lth_ray.record.figures import curves_figure, metric_figure
from lth_ray.record.mlflow.registry import is_finished
from lth_ray.record.mlflow.runs import describe_branch, describe_ticket
from lth_ray.record.mlflow.views import Seen, views_of
from lth_ray.record.report.findings import findings
from lth_ray.record.report.making import report
from lth_ray.record.report.tables import framed
from lth_ray.record.report.verdicts import verdicts_listing
from lth_ray.running.history import remember
from lth_ray.running.results import Results
from lth_ray.store import Store
from lth_ray.training import Clock
from lth_ray.watching.lineage_rows import table
from lth_ray.watching.snapshot import from_record, to_record

STUDY = Study(
    "diabetes",
    model=Model("lenet_20_10"),
    data=Table("diabetes", batch_size=32, validation=60, test=60),
    train=Train(steps(60), optimizer="adam", lr=5e-3, evaluate_every=steps(20)),
    prune=Prune(scope="layer", fraction=0.5, rounds=2),
    rewind=[steps(0)],
    seeds=[0, 1, 2],
    branches=[RandomReinit(), Barrier(points=3, rounds=[0, 2])],
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Store]:
    store = Store.open(str(tmp_path_factory.mktemp("store")))
    plan = make_plan(STUDY, None, store)
    remember(store, plan, "")
    loaded = plan.lineages[0].recipe.task.load()
    for job in plan.jobs:
        for piece in job.pieces:
            carry_out(piece, store, loaded, "cpu", Clock(60.0))
    return plan, store


def test_a_report_says_what_the_networks_are_judged_by(trained: tuple[Plan, Store]) -> None:
    plan, store = trained
    made = report(plan, store)
    page = store.get(made.page).decode()
    for text in (page, made.markdown, *(store.get(path).decode() for path in made.texts)):
        assert "accuracy" not in text.lower()
        assert not re.search(r"R²[^|<\n]{0,12}%", text)
    assert "Test R²" in page
    assert "| subnetwork | round | remaining | test R² |" in made.markdown
    assert "less than 0.010 worse" in made.markdown
    assert {Path(path).name for path in made.figures} >= {"r2.svg", "r2.png", "curves.svg"}
    line = made.summary[(made.summary["branch"] == "") & (made.summary["round"] == 0)].iloc[0]
    shown = f"{line['test_r2']:.3f} ± {line['test_r2_half_width']:.3f}"
    assert shown in made.markdown
    assert shown in page
    assert 0.2 < line["test_r2"] < 0.7
    assert list(made.comparisons["margin"].dropna().unique()) == [0.01]


def test_figures_are_in_the_metrics_own_values(trained: tuple[Plan, Store]) -> None:
    from lth_ray.record import curves

    results = Results(*trained)
    frame = report(*trained).summary
    panel = metric_figure(frame).axes[0]
    assert panel.get_ylabel() == "test R²"
    assert -1 < panel.get_ylim()[0] < panel.get_ylim()[1] < 1
    drawn = curves_figure(curves(results.tickets(), results.store))
    assert drawn is not None
    assert drawn.axes[0].get_ylabel() == "test R²"


def test_the_live_view_and_the_screen_show_it(trained: tuple[Plan, Store]) -> None:
    plan, store = trained
    snapshot = in_store(store, plan.study.name)
    lines = [str(line) for line in table(snapshot.lines, 120, metric=snapshot.metric)]
    assert lines[0].startswith("test R², by remaining weights, %")
    dense = Results(plan, store).tickets().set_index(["lineage", "round"])["test_r2"]["k0/seed0", 0]
    assert f"{dense:.2f}" in next(line for line in lines if line.startswith("k0/seed0"))
    assert from_record(json.loads(json.dumps(to_record(snapshot)))) is not None
    assert from_record(to_record(snapshot)).metric == R2  # type: ignore[union-attr]
    narrow = [str(line) for line in table(snapshot.lines, 44, metric=snapshot.metric)]
    assert "R²" in narrow[0]
    assert "%" not in narrow[1].split()[-1]
    assert str(compared(report(plan, store).summary).title) == "test R² and early-stop step"


def test_mlflow_has_its_name(trained: tuple[Plan, Store]) -> None:
    plan, store = trained
    told = []
    for lineage in plan.lineages:
        told += [describe_ticket(lineage, r.number, finished(store, r.segment.key)) for r in lineage.rounds]
    for result in plan.branches:
        told.append(describe_branch(result, finished(store, result.key)))
    names = {name for description in told for name, *_ in description.metrics}
    assert {"test_r2", "validation_r2", "test_r2_at_early_stop"} <= names
    assert not [name for name in names if "accuracy" in name]
    seen = [Seen({"seed": "0", "round": str(i)}, {"test_r2": 0.4, "remaining_weights": 0.5**i}) for i in range(2)]
    assert [(view.key, view.name) for view in views_of(seen, R2)] == [("lth-r2", "R² against remaining weights")]


def test_a_lineage_that_ends_by_the_metric_is_whole() -> None:
    plan = make_plan(set_fields(STUDY, {"data.score": "rmse", "stop_below": 0.9, "seeds": [0]}))
    row = {"lineage": "k0/seed0", "round": 1, "diverged_at": None, "validation_rmse": 0.8, "test_rmse": 0.95}
    assert not is_finished(plan, [row])
    assert is_finished(plan, [{**row, "validation_rmse": 0.95}])


def rows(metric: Metric, series: dict[int, float], branch: str = "") -> list[dict[str, Any]]:
    """{round: test value} of three seeds that differ by .001 and .003."""
    return [
        {
            "lineage": f"k0/seed{seed}", "arm": "", "method": "weights", "seed": seed, "rewind_step": 0,
            "round": number,
            "remaining_weights": 0.5**number, metric.column("test"): value + shift, "train_steps": 60,
            **({"branch": branch, "index": 0} if branch else {}),
        }
        for number, value in series.items() for seed, shift in enumerate((0.0, 0.001, 0.003))
    ]  # fmt: skip


def test_a_lower_error_is_the_better_one() -> None:
    """By hand: errors of .70 (dense), .65 and .705, .80 of tickets at rounds 1 to 3; a control of .75 at each."""
    tickets = rows(RMSE, {0: 0.70, 1: 0.65, 2: 0.705, 3: 0.80})
    tickets = [row | {"test_rmse": row["test_rmse"] + 1e-4 * row["seed"] * row["round"]} for row in tickets]
    branches = rows(RMSE, {1: 0.75, 2: 0.75, 3: 0.75}, "random_reinit")
    frame = comparisons(tickets, branches, metric=RMSE)
    dense = frame[frame["against"] == "dense"].set_index("round")
    control = frame[frame["against"] == "random reinit"].set_index("round")
    assert dense["difference"].to_list() == pytest.approx([0.0499, -0.0052, -0.1003], abs=1e-9)
    assert control["difference"].to_list() == pytest.approx([0.0999, 0.0448, -0.0503], abs=1e-9)
    assert dense["matching"].to_list() == ["matching", "matching", "not shown"]
    assert control["superiority"].to_list() == ["better", "better", "not shown"]
    first, second = findings(frame)
    assert first.startswith("Tickets match their dense network, less than 0.010 worse, down to 25 % of the weights")
    assert second.startswith(
        "They are of better root mean square error than random reinit with 50\N{EN DASH}25 % of the weights"
    )
    listing = verdicts_listing(frame)
    assert listing is not None
    assert "positive where the ticket is better" in listing.note
    assert "shown to be below the control" in listing.note
    assert "under 0.010 worse" in str(comparisons_table(frame).title)


def test_the_axis_leaves_out_what_is_far_worse() -> None:
    """An error of 3 beside .70 and .65 would flatten them: it is cut above; R² of -5 is cut below."""
    for metric, series, side in ((RMSE, {0: 0.70, 1: 0.65, 2: 3.0}, 1), (R2, {0: 0.45, 1: 0.44, 2: -5.0}, 0)):
        panel = metric_figure(summary(rows(metric, series), [], metric=metric)).axes[0]
        assert abs(panel.get_ylim()[side]) < 1.2
        assert any("3 points" in str(text.get_text()) or "1 point" in str(text.get_text()) for text in panel.texts)


def test_what_was_learnt_is_asked_of_chance_and_direction() -> None:
    assert least_learnt(ACCURACY, 0.1, 3.0, 400) == pytest.approx(0.3)
    assert least_learnt(ACCURACY, 0.5, 3.0, 400) == pytest.approx(0.5 + 3 * 0.025)
    assert least_learnt(ACCURACY, 0.5, 3.0, 4) == 1.0
    assert least_learnt(R2, 0.0, 3.0, 400) == pytest.approx(0.01)
    assert least_learnt(RMSE, 1.0, 3.0, 400) == pytest.approx(0.99)
    assert least_learnt(RMSE, None, 3.0, 400) is None


def test_accuracies_are_shown_as_shares_and_others_in_their_own_values() -> None:
    assert (ACCURACY.printed(0.97852), ACCURACY.difference(0.00123, sign=True)) == ("97.85 %", "+0.12 pp")
    assert (R2.printed(0.4567), R2.difference(-0.0123, sign=True), R2.title) == ("0.457", "-0.012", "R²")
    assert (RMSE.worst([0.7, 0.9]), R2.worst([0.4, None]), RMSE.worse_side) == (0.9, None, "over")


def test_one_study_has_one_metric_and_a_margin_of_its_own() -> None:
    assert STUDY.matching_margin == 0.01
    assert set_fields(STUDY, {"margin": 0.05}).matching_margin == 0.05
    with pytest.raises(ConfigError, match="judged by root mean square error, the study by R²"):
        variants(set_fields(STUDY, {"sweep": {"data.score": ["r2", "rmse"]}}))


def test_a_frame_knows_its_metric_in_a_file(tmp_path: Path) -> None:
    import pandas

    framed(rows(R2, {0: 0.4}), R2).to_parquet(tmp_path / "rows.parquet")
    assert Metric.read(pandas.read_parquet(tmp_path / "rows.parquet").attrs["metric"]) == R2

from collections.abc import Callable

from lth_ray.config import Study
from lth_ray.lottery import Plan, make_plan
from lth_ray.record.report.making import report
from lth_ray.record.report.tables import write_tables
from lth_ray.store import Store

Fill = Callable[..., None]


def test_a_report_of_a_study_at_work_states_n(plan: Plan, store: Store, fill: Fill) -> None:
    empty = report(plan, store)
    assert (empty.figures, len(empty.summary)) == ((), 0)
    assert "0 of 8 tickets and 0 of 14 branch results are finished." in empty.markdown
    fill(store, plan, rounds=[0, 1])
    store.delete(f"segments/{plan.lineages[1].rounds[1].segment.key}.json")
    partial = report(plan, store, question="Do tickets win?")
    assert "3 of 8 tickets and 4 of 14 branch results are finished." in partial.markdown
    assert partial.markdown.startswith("# tickets\n\nNothing is concluded")
    assert partial.markdown.index("Nothing is concluded") < partial.markdown.index("Do tickets win?")
    assert "## Test accuracy (%)" in partial.markdown
    assert "lenet_300_100 on digits, adam at 0.0012, 300 steps." in partial.markdown
    assert "lth_ray 0.1.0, torch 2.14.1; a processor" in partial.markdown
    assert partial.summary["runs"].tolist() == [2, 1, 4]
    assert partial.texts == ("studies/tickets/report.md", "studies/tickets/report.tex")
    assert store.get(partial.texts[0]).decode() == partial.markdown
    assert all(store.exists(path) for path in (partial.page, *partial.texts, *partial.tables, *partial.figures))


def test_the_report_names_the_diverged(make_study: Callable[..., Study], store: Store, fill: Fill) -> None:
    plan = make_plan(make_study(branches=[], seeds=[0]))
    fill(store, plan, rounds=[0])
    fill(store, plan, rounds=[1], diverged_at=40)
    assert "Diverged, and in no mean: k0/seed0 round 1." in report(plan, store, "other").markdown
    assert store.exists("studies/other/report.md")


def test_tables_that_a_run_has_written_are_not_written_again(plan: Plan, store: Store, fill: Fill) -> None:
    fill(store, plan, rounds=[0])
    written = write_tables(store, "tickets", [], [])
    before = [store.get(path) for path in written]
    found = report(plan, store, tables=written)
    assert [store.get(path) for path in written] == before
    assert found.tables == (*written, "studies/tickets/comparisons.parquet")
    assert report(plan, store).tables == found.tables
    assert [store.get(path) for path in written] != before

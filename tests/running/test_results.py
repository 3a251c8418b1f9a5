"""Results without a run: opened from a storage, in a few lines, as tables, curves and figures."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas
import pytest

import lth_ray
from lth_ray.config import ConfigError
from lth_ray.lottery import make_plan
from lth_ray.running.history import remember
from lth_ray.running.results import Results
from lth_ray.store import Store
from tests.conftest import Call
from tests.running.conftest import declared, train_here


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("opened")
    train_here(declared(), Store.open(str(folder)))
    return folder


@pytest.fixture
def results(storage: Path) -> Results:
    return lth_ray.open(storage, "small")


def test_a_study_is_opened_by_its_name_or_alone(storage: Path, results: Results) -> None:
    assert lth_ray.open(str(storage)).plan.study == results.plan.study
    assert len(results.tickets()) == 6
    assert results.ledger() == {}
    with pytest.raises(ConfigError, match=r"no study 'smal' .*did you mean small"):
        lth_ray.open(storage, "smal")


def test_several_studies_are_reported_on_one_page(tmp_path: Path, call: Call) -> None:
    store, study = Store.open(str(tmp_path)), declared()
    for name, points in (("early", study.rewind[:1]), ("late", study.rewind[1:])):
        train_here(replace(study, name=name, rewind=points, branches=[]), store)
    code, printed = call(None, "report", "early", "late", "--storage", tmp_path)
    assert code == 0, printed
    assert printed.splitlines()[0] == f"{tmp_path}/studies/early+late/report.html"
    page = (tmp_path / "studies" / "early+late" / "report.md").read_text()
    assert "| rewind | Rewind(steps(0)) | Rewind(steps(40)) |" in page
    code, printed = call(None, "report", "early", "lat", "--storage", tmp_path)
    assert (code, "did you mean late" in printed) == (2, True)


def test_curves_are_written_for_tensorboard(storage: Path, tmp_path: Path, call: Call) -> None:
    pytest.importorskip("tensorboard", reason="it is in the extra `tensorboard`")
    code, printed = call(None, "logs", "small", "--to", tmp_path, "--storage", storage)
    assert (code, printed.strip()) == (
        0,
        f"wrote 10 runs of small into {tmp_path}",
    )  # 2 lineages, 6 tickets, 2 branches
    assert len(list((tmp_path / "small" / "k40" / "seed0" / "r2" / "random_reinit-0").iterdir())) == 2


def test_several_studies_need_a_name(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    with pytest.raises(ConfigError, match="holds no study yet"):
        lth_ray.open(tmp_path)
    for name in ("a", "b"):
        study = declared()
        remember(store, make_plan(lth_ray.Study(**{**vars(study), "name": name})), "")
    with pytest.raises(ConfigError, match="holds 2 studies: a, b; name one"):
        lth_ray.open(tmp_path)


def test_results_print_in_a_few_lines(results: Results, storage: Path) -> None:
    assert repr(results).splitlines() == [
        f"Results of 'small' in {storage}",
        "6 of 6 tickets and 2 of 2 branch results are finished (2 lineages)",
    ]
    failed = Results(results.plan, results.store, failures={"a": "the disk is full", "b": "and"})
    assert repr(failed).splitlines()[-1] == "failed: a and 1 more: the disk is full"


def test_a_notebook_gets_a_table(results: Results) -> None:
    html = results._repr_html_()
    mean = results.summary().query("branch == '' and round == 2")["test_accuracy"].iloc[0]
    assert f"<td>{100 * mean:.2f}</td>" in html
    assert "Nothing is concluded" in html
    assert len(html) < 3000


def test_curves_end_where_tickets_do(results: Results) -> None:
    last = results.curves().groupby(["lineage", "round"]).last()
    tickets = results.tickets().set_index(["lineage", "round"])
    assert last["test_accuracy"].to_dict() == tickets["test_accuracy"].to_dict()
    assert set(results.comparisons()["against"]) == {"dense", "random reinit"}


def test_a_figure_is_drawn_by_its_name(results: Results) -> None:
    figure = results.plot("accuracy", title="ours")
    assert figure._repr_png_()[:4] == b"\x89PNG"  # type: ignore[attr-defined]
    assert figure.texts[0].get_text() == "ours"
    assert results.plot().axes[0].get_ylabel() == "test accuracy (%)"
    with pytest.raises(ConfigError, match="no such figure; did you mean accuracy"):
        results.plot("acuracy")
    with pytest.raises(ConfigError, match="nothing finished that it would show"):
        results.plot("paths")


def panels(figure: Any) -> list[tuple[str, str]]:
    return [(panel.get_xlabel(), panel.get_ylabel()) for panel in figure.axes]


def test_figures_take_what_results_return(results: Results) -> None:
    tickets, branches = results.tickets(), results.branches()
    for name in lth_ray.figures.__all__:
        if name != "mask_distances_figure":
            getattr(lth_ray.figures, name)(tickets)
            getattr(lth_ray.figures, name)(branches)
    both = lth_ray.figures.metric_figure(pandas.concat([tickets, branches]))
    assert panels(both) == panels(lth_ray.figures.metric_figure(results.summary()))
    labels = [text.get_text() for text in both.legends[0].get_texts()]
    assert labels == [text.get_text() for text in results.plot().legends[0].get_texts()]
    of_one = tickets[tickets["lineage"] == "k0/seed0"]
    assert panels(lth_ray.figures.curves_figure(of_one))[0] == ("step of training", "test accuracy (%)")
    assert lth_ray.figures.mask_distances_figure(results.mask_distances()) is None
    stranger = pandas.DataFrame(tickets.to_dict("records"))
    with pytest.raises(ConfigError, match="does not say which storage it is from"):
        lth_ray.figures.curves_figure(stranger)


def test_a_ticket_prints_in_a_few_lines(results: Results, storage: Path) -> None:
    row = results.tickets().query("round == 2").iloc[0]
    ticket = lth_ray.load_ticket(row["key"], str(storage))
    head, what, states = repr(ticket).splitlines()
    kept, of = (sum(int(one) for one in (mask.sum() for mask in ticket.mask.values())), 64 * 20 + 20 * 10 + 10 * 10)
    assert head == f"Ticket {row['key']}"
    accuracy = f"test accuracy {100 * row['test_accuracy']:.2f} %"
    assert what == f"{100 * kept / of:.3g} % of {of:,} weights remain, trained from step 0 to 100, {accuracy}"
    assert states == "rewind state there, trained state there"
    assert "<td>64 x 20</td>" in ticket._repr_html_().replace("20 x 64", "64 x 20")
    dense = lth_ray.load_ticket(results.tickets()["key"][0], str(storage))
    assert repr(dense).splitlines()[1].startswith("a dense network, trained from step 0 to 100")
    assert "<table>" not in dense._repr_html_()

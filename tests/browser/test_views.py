"""The saved views in a real browser: what is drawn is what was measured. An empty chart fails.

Needs Debian's `chromium`, or a Chrome at $LTH_RAY_CHROMIUM, and the package's extra `browser`; screenshots stay in
build/screenshots.
"""

import getpass
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from lth_ray import Barrier, Data, Model, Prune, RandomReinit, Study, Train, steps
from lth_ray.lottery import Plan, branch_rows, ticket_rows
from lth_ray.record import comparisons, entrance, replay
from lth_ray.store import Store
from tests.mlflow_server import Server, free_port
from tests.running.conftest import train_here

CHROMIUM = os.environ.get("LTH_RAY_CHROMIUM") or shutil.which("chromium")
SCREENSHOTS = Path(__file__).resolve().parents[2] / "build" / "screenshots"
QUESTION = "Do tickets of this study win?\n\nIt is a small one, for a browser."
ROUNDS, SEEDS, POINTS = 3, [0, 1], [0, 40]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium: `apt-get install chromium`"),
]
playwright = pytest.importorskip("playwright.sync_api", reason="pip install lth_ray[browser]")

# Every chart of the page: its lines, which MLflow draws twice (as smoothed, and faintly as they are), and its bands.
CHARTS = """() => [...document.querySelectorAll('.js-plotly-plot')].map(plot => ({
    lines: plot.data.filter(one => one.mode === 'lines+markers').map(({x, y}) => ({x, y})),
    bands: plot.data.filter(one => one.fill && (one.x || []).length > 1).length,
    range: plot.layout.yaxis.range,
    falls: plot.layout.xaxis.range[0] > plot.layout.xaxis.range[1],
}))"""
# Whether a text is in view: what is folded away counts as visible otherwise.
UNFOLDED = """text => [...document.querySelectorAll('p')].filter(one => one.textContent.trim() === text).some(one => {
    const {x, y, height} = one.getBoundingClientRect();
    return one.contains(document.elementFromPoint(x + 5, y + height / 2));
})"""
Lines = dict[str, dict[float, float]]  # {what tells a line: {x: mean over seeds}}


@pytest.fixture(scope="module")
def study() -> Study:
    return Study(
        "browsed",
        model=Model("lenet_20_10"),
        data=Data("digits", batch_size=60, validation=200),
        train=Train(steps(120), optimizer="adam", lr=3e-2, evaluate_every=steps(5)),
        prune=Prune(scope="layer", fraction=0.5, rounds=ROUNDS),
        rewind=[steps(k) for k in POINTS],
        seeds=SEEDS,
        sweep={"train.warmup": [steps(0), steps(30)]},
        branches=[Barrier(2, points=5, rounds=[0, ROUNDS]), RandomReinit(rounds=[1, ROUNDS])],
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store.open(str(tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="module")
def plan(study: Study, store: Store) -> Plan:
    return train_here(study, store)


@pytest.fixture(scope="module")
def server(plan: Plan, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that has the study."""
    server = Server(tmp_path_factory.mktemp("server"), free_port())
    server.start()
    try:
        deadline = time.monotonic() + 120
        while not server.answers():
            assert time.monotonic() < deadline, "the MLflow server did not come up"
            time.sleep(0.2)
        assert replay(plan, store, server.uri, question=QUESTION)["failed"] == 0
        yield server
    finally:
        server.end()


@pytest.fixture(scope="module")
def links(server: Server, plan: Plan, store: Store) -> dict[str, str]:
    """{view: address}, as they are printed."""
    found = entrance(plan, store, server.uri)
    assert found.warning == ""
    return dict(found.links)


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1400, "height": 2200})
        page.set_default_timeout(120_000)
        yield page
        browser.close()


def charts(page: Any, link: str, expected: int, titles: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The charts of a view once all of them have points, and these titles of theirs are to be read."""
    page.goto("about:blank")  # a page that only changes behind the # is not loaded again
    page.goto(link)
    drawn = f"({CHARTS})().filter(chart => chart.lines.some(line => (line.x || []).length)).length"
    page.wait_for_function(f"() => {drawn} === {expected}")
    for title in titles:  # whole, where the page is no wider than a laptop's
        heading = page.get_by_text(title, exact=True).last  # not the menu of views
        heading.wait_for()
        assert heading.evaluate("one => one.scrollWidth <= one.clientWidth"), f"{title} is cut off"
    page.wait_for_timeout(1000)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    name = link.partition("viewStateShareKey=")[2].partition("&")[0]
    page.screenshot(path=SCREENSHOTS / f"{name}.png")
    found = page.evaluate(CHARTS)
    assert isinstance(found, list)
    return found


def averaged(rows: list[dict[str, Any]], x: str, y: str, line: Callable[[dict[str, Any]], str]) -> Lines:
    found: dict[str, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row[y] is not None:
            found[line(row)][row[x]].append(row[y])
    return {name: {at: mean(values) for at, values in points.items()} for name, points in found.items()}


def assert_drawn(chart: dict[str, Any], expected: Lines) -> None:
    """One line for each that is expected, with its ends, all of it within the range, and a band for each.

    The expected lines have other ends each, so that one which is drawn twice in another's stead is found.
    """
    assert len({(points[min(points)], points[max(points)]) for points in expected.values()}) == len(expected)
    lines = [dict(zip(line["x"], line["y"], strict=True)) for line in chart["lines"] if line["x"]]
    assert len(lines) == len(expected)
    for points in expected.values():
        ends = [min(points), max(points)]
        near = [
            line for line in lines
            if sorted(line) == pytest.approx(sorted(points))
            and [line[min(line)], line[max(line)]] == pytest.approx([points[at] for at in ends], abs=1e-6)
        ]  # fmt: skip
        assert near, f"no line ends as {points} does, of {lines}"
    values = [value for line in lines for value in line.values()]
    assert chart["range"][0] <= min(values) <= max(values) <= chart["range"][1]
    assert chart["bands"] == len(expected)


def of(*names: str) -> Callable[[dict[str, Any]], str]:
    return lambda row: ", ".join(str(row[name]) for name in names)


VARIES = of("rewind_step", "train.warmup")


@pytest.mark.parametrize(
    ("view", "measured", "line", "count", "cards"),
    [
        ("Accuracy against remaining weights", "test_accuracy", VARIES, 4, 2),
        ("Early-stop step against remaining weights", "early_stop_step", VARIES, 4, 2),
        ("Warm-up sweep", "test_accuracy", VARIES, 4, 4),
    ],
)
def test_a_lineages_rounds_are_drawn_against_remaining_weights(
    view: str, measured: str, line: Callable[[dict[str, Any]], str], count: int, cards: int,
    links: dict[str, str], page: Any, plan: Plan, store: Store,
) -> None:  # fmt: skip
    rows = ticket_rows(plan, store)
    title = {"test_accuracy": "Test accuracy", "early_stop_step": "Early-stop step"}[measured]
    titles = [f"{title} by round (the step)", f"{title} against remaining weights"]
    by_round, against_weights, *_ = charts(page, links[view], cards, titles)
    expected = averaged(rows, "remaining_weights", measured, line)
    assert len(expected) == count
    assert_drawn(against_weights, expected)
    assert against_weights["falls"]
    controls = [row for row in branch_rows(plan, store) if row["branch"] == "random_reinit"]
    beside = averaged(controls, "round", measured, lambda row: f"{line(row)}, random reinit")
    assert [sorted(points) for points in beside.values()] == count * [[1, ROUNDS]]
    assert_drawn(by_round, averaged(rows, "round", measured, line) | beside)


def test_barriers_are_drawn_against_k(links: dict[str, str], page: Any, plan: Plan, store: Store) -> None:
    rows = [row for row in branch_rows(plan, store) if row["branch"] == "barrier"]
    (chart,) = charts(page, links["LMC error barrier against k"], 1)
    expected = averaged(rows, "spawn_step", "lmc_error_barrier", of("train.warmup", "round"))
    assert len(expected) == 4
    assert all(sorted(points) == POINTS for points in expected.values())
    assert_drawn(chart, expected)


def test_barriers_are_drawn_by_round(links: dict[str, str], page: Any, plan: Plan, store: Store) -> None:
    rows = [row for row in branch_rows(plan, store) if row["branch"] == "barrier"]
    (chart,) = charts(page, links["LMC error barrier by round"], 1)
    assert_drawn(chart, averaged(rows, "round", "lmc_error_barrier", VARIES))


def test_the_note_leads_to_every_view(links: dict[str, str], page: Any) -> None:
    address = next(iter(links.values()))
    page.goto("about:blank")
    page.goto(address.partition("?")[0])
    page.get_by_text("Do tickets of this study win?").first.wait_for()
    page.locator('[data-component-id="mlflow.experiment.metadata_editor.expand_button"]').click()
    for name, link in links.items():
        anchor = page.get_by_role("link", name=name, exact=True)
        anchor.wait_for()
        assert anchor.get_attribute("href").partition("#")[2] == link.partition("#")[2]
    page.wait_for_function(UNFOLDED, arg="It is a small one, for a browser.")
    page.screenshot(path=SCREENSHOTS / "note.png")


def test_the_registry_shows_what_matches(server: Server, page: Any, plan: Plan, store: Store) -> None:
    """With the verdict of one round given, which two seeds do not come to."""
    rows = comparisons(ticket_rows(plan, store), []).to_dict("records")
    given = [row | {"matching": "matching", "matching_p": 0.01} for row in rows if row["round"] == 1][:1]
    found = entrance(plan, store, server.uri, given)
    assert (found.warning, found.registered) == ("", len(SEEDS))
    page.goto(f"{server.uri}/#/models/browsed")
    page.get_by_text("matching-", exact=False).first.wait_for()
    page.screenshot(path=SCREENSHOTS / "registry.png")


def test_a_ticket_shows_its_model_and_what_its_training_took(
    server: Server, page: Any, plan: Plan, links: dict[str, str]
) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=server.uri)
    experiment = client.get_experiment_by_name("browsed")
    run = client.search_runs([experiment.experiment_id], "tags.`lth.kind` = 'ticket'", max_results=1)[0]
    (output,) = run.outputs.model_outputs
    name = client.get_logged_model(output.model_id).name
    page.goto(f"{server.uri}/#/experiments/{experiment.experiment_id}/runs/{run.info.run_id}")
    page.get_by_text(name).first.wait_for()
    page.get_by_text(getpass.getuser(), exact=True).first.wait_for()  # "Created by"
    page.screenshot(path=SCREENSHOTS / "ticket.png")
    page.goto(f"{server.uri}/#/experiments/{experiment.experiment_id}/runs/{run.info.run_id}/system-metrics")
    page.get_by_text("process_memory_usage_megabytes").first.wait_for()
    page.screenshot(path=SCREENSHOTS / "system.png")
    page.goto(f"{server.uri}/#/experiments/{experiment.experiment_id}/models/{output.model_id}/artifacts")
    page.get_by_text("ticket.json").first.wait_for()
    page.screenshot(path=SCREENSHOTS / "model.png")

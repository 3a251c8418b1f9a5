"""`lth-ray ls`: the studies of a storage, their state, tickets and what was trained."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lth_ray.commands.listing import listed
from lth_ray.lottery import make_plan
from lth_ray.running import history
from lth_ray.store import Store, live
from tests.conftest import Call
from tests.running.conftest import declared


@pytest.fixture
def grown(storage: str, tmp_path: Path) -> Store:
    """A storage with the finished study, and with one of another seed that has begun with it."""
    store = Store.open(shutil.copytree(storage, tmp_path / "storage").as_posix())
    more = replace(declared(), name="more", seeds=[0, 1])
    history.remember(store, make_plan(more, None, store), "")
    return store


def test_state_tickets_and_cost_are_those_of_the_records(grown: Store) -> None:
    more, small = listed(grown)
    plan = history.recorded_plan(grown, "small")
    assert (small.name, small.state, small.tickets) == ("small", "complete", (5, 5))
    assert small.steps == plan.unique_steps == 580
    assert small.seconds > 0
    assert (more.name, more.state, more.tickets, more.steps) == ("more", "50%, no run is live", (5, 10), 580)
    assert more.changed is not None
    assert small.changed is not None
    assert more.changed > small.changed
    with live(grown, "more", "a"):
        assert next(listed(grown)).state.startswith("50%, running on ")


def test_it_is_a_table_of_80_columns(grown: Store, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, printed = call(None, "ls", "--storage", grown.uri)
    lines = [line.split() for line in printed.splitlines()]
    assert code == 0
    assert ["NAME", "state", "tickets", "trained", "last", "change"] in lines
    assert any(line[:5] == ["small", "complete", "5", "of", "5"] for line in lines), printed
    assert max(map(len, printed.splitlines()[1:])) <= 80
    code, printed = call(None, "ls", "--storage", tmp_path / "none")
    assert (code, "there is no study in" in printed) == (0, True)

"""`python -m benchmarks`: each in a process of its own; what is skipped, missed or broken is said."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks import __main__ as command
from benchmarks import games, input, overhead, suite, train_throughput
from benchmarks.ceiling import Ceiling
from benchmarks.isolated import Ended, _read, alone
from benchmarks.timing import Entry, Skipped

ENTRY = Entry("a step", "x as fast", 3.0, (2.0, 4.0), 5.0, 1.0, 3.0, 7, at_least=True)
ROWS = "tests.benchmarks.rows"


def test_rows_come_from_another_process_as_soon_as_they_are_there() -> None:
    seen: list[dict[str, int]] = []
    found = alone(f"{ROWS}:counting", {"number": 3}, 60, on_row=seen.append)
    assert found.rows == seen == [{"number": 0}, {"number": 1}, {"number": 2}]
    assert found.why is None
    assert found.memory_mb > 5


@pytest.mark.parametrize(
    ("call", "why"), [("breaking", "ValueError: no such GPU"), ("dying", "status -9: the driver says so")]
)
def test_what_was_there_before_it_broke_is_kept(call: str, why: str) -> None:
    found = alone(f"{ROWS}:{call}", {}, 60)
    assert found.rows == [{"number": 1}]
    assert found.why is not None
    assert found.why.endswith(why)


def test_what_hangs_is_ended_with_all_it_started(tmp_path: Path) -> None:
    pids: list[int] = []
    found = alone(f"{ROWS}:hanging", {"held": str(tmp_path)}, 8, on_row=lambda row: pids.append(row["number"]))
    assert found.why == "it was ended after 8 s"
    assert pids
    assert has_ended(pids[0])


def test_what_is_killed_leaves_nothing_that_it_started(tmp_path: Path) -> None:
    found = alone(f"{ROWS}:leaving", {"held": str(tmp_path)}, 60)
    assert found.why == "its process ended with status -9"
    assert has_ended(found.rows[0]["number"])


def has_ended(pid: int) -> bool:
    with suppress(psutil.Error):
        psutil.Process(pid).wait(5)
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_half_a_row_waits_for_its_other_half(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = []
    with (tmp_path / "rows").open("w") as written, (tmp_path / "rows").open() as reader:
        for part in ('{"number": 1}\n{"num', 'ber": 2', '}\n{"n'):
            written.write(part)
            written.flush()
            _read(reader, rows, lambda row: None)
    assert rows == [{"number": 1}, {"number": 2}]


def test_lines_survive_being_written() -> None:
    line = Skipped("games", "there are none")
    assert suite.read({"kind": "Skipped", **vars(line)}) == line
    assert suite.read(json.loads(json.dumps({"kind": "Entry", **vars(ENTRY)}))) == ENTRY


def test_a_run_says_what_it_skipped_and_missed_and_what_broke(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = {
        "lenet_step": Ended([{"kind": "Entry", **vars(ENTRY)}], None, 2.0, 500.0),
        "input": Ended([{"kind": "Skipped", "name": "decoding", "why": "there are no JPEGs"}], None, 1.0, 3100.0),
        "games": Ended([], "it was ended after 600 s", 600.0, 100.0),
    }
    monkeypatch.setattr(command, "alone", lambda _, arguments, limit_s: made[arguments["name"]])
    monkeypatch.setattr(command, "ceiling", lambda: Ceiling(100.0, 8.0))
    assert command.main([*made, "--json", str(tmp_path / "found.json")]) == 1
    said = capsys.readouterr().out
    for part in (
        "missed: a step: 3 x as fast (2 - 4, n = 7), target >= 5",
        "skipped: decoding: there are no JPEGs",
        "broken: games: it was ended after 600 s",
        "603 s in all; at most 3.10 GB of memory at a time, by input",
    ):
        assert part in said
    document = json.loads((tmp_path / "found.json").read_text())
    assert document["entries"][0]["met"] is False
    assert document["skipped"] == [{"name": "decoding", "why": "there are no JPEGs"}]
    assert document["benchmarks"]["games"]["broken"] == "it was ended after 600 s"
    del made["games"]
    assert command.main(list(made)) == 0  # a target that is missed breaks nothing


def test_without_data_and_packages_lines_are_skipped_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(suite.DATA_ROOT, str(tmp_path))
    any_entry: Any = lambda *_: ENTRY  # noqa: E731
    for name in ("planning", "again", "of_rounds"):
        monkeypatch.setattr(overhead, name, any_entry)
    monkeypatch.setattr(train_throughput, "checkpoint", any_entry)
    monkeypatch.setattr(games.importlib.util, "find_spec", lambda name: None)
    found = [line for made in (input, overhead, train_throughput, games) for line in made.entries(2)]
    reasons = [line.why for line in found if isinstance(line, Skipped)]
    assert len(reasons) == 4
    assert sum(str(tmp_path) in why for why in reasons) == 3
    assert "gymnasium is not installed" in reasons[-1]
    assert sum(line == ENTRY for line in found) == 4


def test_every_benchmark_is_named() -> None:
    own = {path.stem for path in Path(suite.__file__).parent.glob("*.py") if "\ndef entries(" in path.read_text()}
    assert own == set(suite.NAMES)

"""The schedule, the comparison and the table of `make chaos`; and, slowly, ten faults of each kind."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.chaos import faults
from tests.chaos.compare import Seen, differences
from tests.chaos.run import Fault, endure, lives, schedule, table
from tests.chaos.scene import Lost


def test_a_hundred_are_the_same_each_time_and_of_all_kinds_with_and_without_workers() -> None:
    planned = schedule(100)
    assert planned == schedule(100)
    assert planned != schedule(100, seed=1)
    assert [fault.number for fault in planned] == list(range(100))
    counts = Counter((fault.kind, fault.workers) for fault in planned)
    assert {kind for kind, workers in counts if workers == 2} == set(faults.KINDS)
    assert {kind for kind, workers in counts if workers == 0} == set(faults.KINDS) - {"worker", "controller"}
    assert min(counts.values()) >= 2
    assert all(
        fault.remote == (fault.kind in ("s3_silent", "s3_refuses")) for fault in planned if fault.kind != "driver"
    )
    assert schedule(7) == planned[:7]


def test_neighbours_under_the_same_conditions_befall_one_study() -> None:
    planned = schedule(40)
    found = lives(planned)
    assert [fault for life in found for fault in life] == planned
    assert all(len({(fault.workers, fault.remote) for fault in life}) == 1 for life in found)
    assert [len(life) for life in found] == [13, 3, 15, 3, 6]


def test_no_disk_is_filled_but_one_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(Lost, match="nothing was filled"):
        faults.disk(SimpleNamespace(disk=tmp_path))  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_what_differs_is_told_by_kind_and_number() -> None:
    one = Seen(
        Counter({("k0/seed0 1", "abc"): 1}), Counter(), Counter(), Counter({("ticket", "loss", 20, 0.5): 1}), Counter()
    )
    assert differences(one, one) == []
    other = replace(one, contents=Counter({("k0/seed0 1", "abd"): 1}))
    assert differences(one, other) == [
        "1 contents missing, as k0/seed0 1 abc",
        "1 contents too many, as k0/seed0 1 abd",
    ]
    doubled = replace(one, points=one.points + one.points)
    assert differences(one, doubled) == ["1 points too many, as ticket loss 20 0.5"]
    assert differences(doubled, one) == ["1 points missing, as ticket loss 20 0.5"]


def test_the_table_counts_what_fell_what_was_survived_and_what_was_lost() -> None:
    def fell(number: int, lost: str | None, seconds: float = 0.0) -> Fault:
        return Fault(number, "trial", 0, False, 10, seconds, lost)

    told = table([fell(0, "", 4.0), fell(1, "", 8.0), fell(2, "1 runs missing", 9.0), fell(3, None)])
    assert "| trial | 0 | 3 | 2 | 6 (4 - 8) | 1 runs missing |" in told.splitlines()
    assert told.endswith("3 of 4 faults fell, 2 were survived.")


def ten(kind: str) -> list[Fault]:
    """Ten faults of a kind from a schedule of all kinds, in order, so that neighbours befall one study."""
    return [fault for fault in schedule(20 * len(faults.KINDS)) if fault.kind == kind][:10]


@pytest.mark.parametrize("kind", faults.KINDS)
def test_ten_of_each_kind_are_drawn_with_workers_too(kind: str) -> None:
    drawn = ten(kind)
    assert len(drawn) == 10
    assert {fault.workers for fault in drawn} >= {2}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", faults.KINDS)
def test_ten_of_each_kind_are_survived(kind: str, tmp_path: Path) -> None:
    drawn = ten(kind)
    told = endure(drawn, tmp_path / "chaos", minutes=55)
    print(table(told))
    assert {fault.number: fault.lost for fault in told} == {fault.number: "" for fault in drawn}

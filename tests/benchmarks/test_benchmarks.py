"""The benchmarks run, and count what they say they count. How fast anything is, no test asks."""

import time
from pathlib import Path

import pytest

from benchmarks import bare_team, mask_share, scheduler_cost, train_throughput
from benchmarks.timing import Paired, share


def test_a_share_is_in_percent_and_below_its_target() -> None:
    entry = share("masking", Paired((1.0, 2.0, 3.0), (100.0, 100.0, 100.0)), target=2.5)
    assert entry.value == pytest.approx(2)
    assert entry.spread == pytest.approx((1, 3))
    assert entry.met


def test_masking_is_timed_against_a_step() -> None:
    entry = mask_share.entry("fp32", pairs=2, batch=2, side=32, model="cifar_resnet20")
    assert 0 < entry.value < 100
    assert entry.n == 2


def test_a_sweep_of_stand_ins_ends_with_every_trial_decided() -> None:
    assert len(scheduler_cost.sweep(60)) == 60


def test_seconds_a_step_counts_what_a_turn_has_of_an_interrupted_step() -> None:
    """Steps of 2 s of work; turns of 3, 3, 5 and 3 s with 10 s between them."""
    windows = [(0.0, 3.0), (13.0, 16.0), (26.0, 31.0), (41.0, 44.0)]
    stamps = [-1.0, 0.0001, 2.0, 14.0, 16.0, 27.9999, 30.0, 42.0, 44.0]  # after 2, 4, 6, 8, 10, 12 and 14 s
    assert train_throughput.seconds_a_step(stamps, windows) == pytest.approx((2.0, 2.0), rel=1e-3)


def test_a_slower_turn_shows() -> None:
    windows = [(0.0, 4.0), (10.0, 14.0), (20.0, 24.0)]
    stamps = [1e-6, 1.0, 2.0, 3.0, 4.0, 12.0, 14.0, 21.0, 22.0, 23.0, 24.0]
    assert train_throughput.seconds_a_step(stamps, windows) == pytest.approx((2.0,))


@pytest.mark.slow
def test_plain_processes_train_together_and_stop_when_told(tmp_path: Path) -> None:
    task = train_throughput.a_task(2, "digits")
    processes = bare_team.start(2, task, None, tmp_path)
    steps = tmp_path / "steps"
    try:
        deadline = time.monotonic() + 100
        while not (steps.exists() and steps.read_text().count("\n") > 2):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        for process in processes:
            process.kill()
            process.join()
    stamps = [float(line) for line in steps.read_text().split()]
    assert stamps == sorted(stamps)

"""The benchmarks run, and count what they say they count. How fast anything is, no test asks."""

import time
from pathlib import Path

import pytest
import torch

from benchmarks import (
    bare_team,
    ceiling,
    cifar_step,
    encoder_step,
    games,
    language_step,
    lenet_step,
    mask_share,
    scheduler_cost,
    shrunk_step,
    sparse_step,
    state_io,
    train_throughput,
    whole_figure,
)
from benchmarks.timing import Entry, Paired, Skipped, in_turn, share, speed_up
from lth_ray.store import Store
from lth_ray.training import train
from lth_ray.training.kernels.library import linear_kernels


def test_a_share_is_in_percent_and_below_its_target() -> None:
    entry = share("masking", Paired((1.0, 2.0, 3.0), (100.0, 100.0, 100.0)), target=2.5)
    assert entry.value == pytest.approx(2)
    assert entry.spread == pytest.approx((1, 3))
    assert entry.met


def test_a_speed_up_is_theirs_over_ours_and_above_its_target() -> None:
    entry = speed_up("a step", Paired((1.0, 1.0, 2.0), (4.0, 5.0, 6.0)), target=3.5, of_ceiling=10.0)
    assert entry.value == pytest.approx(4)
    assert entry.spread == pytest.approx((3, 5))
    assert entry.met
    assert entry.of_ceiling == 10


def test_works_take_turns_from_another_one_on_each_round() -> None:
    seen: list[str] = []
    works = {name: lambda name=name: seen.append(name) for name in "abc"}
    times = in_turn(works, rounds=3, units={"a": 1, "b": 2, "c": 3}, warmups=1)
    assert "".join(seen) == "abc" + "abc" + "bca" + "cab"
    assert {name: len(taken) for name, taken in times.items()} == {"a": 3, "b": 3, "c": 3}


def test_a_ceiling_is_measured_and_shares_of_it_are_in_percent() -> None:
    found = ceiling.measure(sides=(32,), copied_bytes=1 << 16, repeats=2)
    assert found.matmul_gflops > 0
    assert found.copy_gbs > 0
    assert ceiling.Ceiling(100.0, 8.0).of_matmul(5e9, 0.1) == pytest.approx(50)
    assert ceiling.Ceiling(100.0, 8.0).of_copy(4e9, 1.0) == pytest.approx(50)


def test_operations_of_lenet() -> None:
    assert lenet_step.step_flop(60) == pytest.approx(67.6e6, rel=1e-3)
    assert lenet_step.forward_flop(1) == 2 * 266_200


def test_every_share_of_the_weights_and_the_evaluations_have_a_line() -> None:
    lines = lenet_step.entries(2, steps_a_turn=2, eager_steps_a_turn=1)
    targets = [*lenet_step.TARGETS.values(), 1.05, 1.05, *lenet_step.EVALUATED.values()]
    assert [line.target for line in lines] == targets
    assert all(line.value > 0 and line.of_ceiling for line in lines)


def test_games_are_timed_beside_their_simulator(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gymnasium", reason='games need gymnasium: pip install "lth_ray[rl]"')
    monkeypatch.setattr(games, "STEPS", 1)
    monkeypatch.setattr(games.importlib.util, "find_spec", lambda name: name == "gymnasium" or None)
    line, *skipped = games.entries(2)
    assert isinstance(line, Entry)
    assert 0 < line.value < 100
    assert [type(one) for one in skipped] == [Skipped, Skipped]


def test_a_convolutional_step_is_timed_against_a_plain_one() -> None:
    line = cifar_step.entry("conv2", pairs=2, batch=4)
    assert line.value > 0
    assert line.of_ceiling is not None
    assert line.of_ceiling > 0


def test_a_step_in_bf16_is_timed_against_that_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cifar_step.IN_BF16, "cifar_resnet8_4", 0.6)
    monkeypatch.setattr(cifar_step, "bf16_instructions", lambda: "avx512_bf16")
    line = cifar_step.bf16_entry("cifar_resnet8_4", pairs=2, batch=4)
    assert isinstance(line, Entry)
    assert line.name.endswith(", avx512_bf16)")
    assert (line.value > 0, line.unit, line.target) == (True, "x fp32", 0.6)


def test_a_step_in_bf16_is_skipped_where_a_processor_would_imitate_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar_step, "bf16_instructions", lambda: "none")
    monkeypatch.setattr(cifar_step, "entry", lambda name, number: (name, number))
    *others, first, second = cifar_step.entries(66)
    assert others == [(name, 2) for name in cifar_step.TARGETS]
    for line, name in zip((first, second), cifar_step.IN_BF16, strict=True):
        assert isinstance(line, Skipped)
        assert name in line.name
        assert "no instructions for bf16" in line.why


def test_a_smaller_network_s_step_is_timed_against_the_dense_one_s() -> None:
    line = shrunk_step.entry("cifar_resnet8_4", pairs=2, batch=4)
    assert "(shrunk) beside all" in line.name
    assert line.value > 0
    mask = shrunk_step.half_of_units("cifar_resnet8_4")
    assert [int(mask[name].sum()) for name in ("conv.weight", "output.weight")] == [2 * 3 * 9, 8 * 10]


def test_an_encoder_s_step_is_timed_beside_a_plain_one() -> None:
    pytest.importorskip("transformers", reason="Hugging Face folders need the extra `text`")
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    line = encoder_step.entry({**encoder_step.MINILM, **small, "vocab_size": 50}, pairs=2)
    assert line.value > 0
    assert line.n == 2


def test_a_whole_figure_is_trained_by_both(tmp_path: Path) -> None:
    """A dense network; of both arms a ticket and three reinitialisations, of one a random mask."""
    dataset, store = lenet_step.random_images(60, train=120, test=60), Store.open(str(tmp_path))
    plan = whole_figure.planned(whole_figure.figure(2, rounds=2), dataset, store)
    trained = list(whole_figure.in_turns(plan, store, dataset))
    assert len(trained) == plan.unique_steps / 2
    assert not whole_figure.planned(plan.study, dataset, store).jobs
    assert min(t.kept for t in trained) < 0.3 < max(t.kept for t in trained) == 1
    line = whole_figure.line(trained, len(plan.lineages))
    assert line.ours_ms == pytest.approx(500 * sum(t.ours_s for t in trained))
    assert line.value == pytest.approx(sum(t.eager_s for t in trained) / sum(t.ours_s for t in trained))


def test_masking_is_timed_against_a_step() -> None:
    entry = mask_share.entry("fp32", pairs=2, batch=2, side=32, model="cifar_resnet20")
    assert 0 < entry.value < 100
    assert entry.n == 2


def test_storing_and_reading_a_state_are_timed_beside_the_library_and_a_digest() -> None:
    stored, read = state_io.measured("cifar_resnet8_4", 10, pairs=2)
    assert (stored.name.rpartition(", ")[2], read.name.rpartition(", ")[2]) == ("stored", "read")
    assert min(stored.value, read.value) > 0


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
    training = train_throughput.a_training(2, "digits")
    processes = bare_team.start(2, training, None, tmp_path)
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


@pytest.mark.parametrize("name", list(language_step.SHAPES))
def test_language_steps_train_both_networks_under_their_masks(name: str) -> None:
    run, plain = language_step.our_run(name), language_step.plain_step(name)
    assert language_step.paired(lambda: train(run, run.step + 1), plain, pairs=2, warmups=0).n == 2
    assert run.step == 2
    for parameter, kept in run.kept:
        assert float((parameter * (1 - kept)).abs().max()) == 0
        assert float(kept.mean()) < 0.3


def test_sparse_steps_are_timed_beside_autograds_under_the_same_mask() -> None:
    if linear_kernels(torch.float32) is None:
        pytest.skip("the compiled kernels were not built")
    line = sparse_step.entry("lstm_lm_2_200", pairs=2)
    assert "at 5 % (sparse)" in line.name
    assert line.n == 2
    sparse, dense = (sparse_step.run_of("lstm_lm_2_200", 0.05, backend) for backend in ("sparse", "eager"))
    for (ours, kept), (theirs, also) in zip(sparse.kept, dense.kept, strict=True):
        assert torch.equal(kept, also)
        assert torch.equal(ours, theirs)

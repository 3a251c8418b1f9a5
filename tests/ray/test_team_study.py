"""Studies whose networks are trained by several workers, undisturbed and while processes are killed."""

from pathlib import Path

import pytest

from lth_ray.lottery import ticket_rows
from lth_ray.running.history import recorded_plan
from lth_ray.store import Store
from tests.ray.conftest import EVERY, SHORT, Expected, complete, declared, expected, seconds_until_next_step, worlds
from tests.running.conftest import Runner

TWO = ("--workers", "2")
EARLY = '''
"""Do two workers draw and round what one would?"""
from lth_ray import Data, EarlyBird, Model, Prune, Study, Train, epochs, main, steps

bird = EarlyBird(window=2, distance=0.1, latest=epochs(3))
study = Study(
    "small",
    model=Model("lenet_20_10"),
    data=Data("digits", batch_size=60, validation=200),
    train=Train(epochs(5), lr=0.1, momentum=0.9, evaluate_every=steps(20), batch_norm_group=30),
    prune=Prune(fraction=0.4, rounds=1),
    rewind=[steps(0)],
    seeds=[0],
    arms={"early": {"prune.at": bird}, "low": {"train.precision": "bfp8", "train.average_from": epochs(2)}},
)

if __name__ == "__main__":
    main(study)
'''
STRUCTURED = '''
"""Are two workers' smaller networks those of two processes?"""
from lth_ray import Data, Model, Prune, Study, Train, main, steps

study = Study(
    "small",
    model=Model("cifar_resnet8_4"),
    data=Data("digits", batch_size=60, validation=200),
    train=Train(steps(40), lr=0.1, momentum=0.9, evaluate_every=steps(20), batch_norm_group=30),
    prune=Prune("l1", structure="channels", fraction=0.3, rounds=2),
    rewind=[steps(0)],
    seeds=[0],
)

if __name__ == "__main__":
    main(study)
'''
LOST_WORKER_S = 20.0  # from its loss to the next step
slow = pytest.mark.slow


def complete_by_two(runner: Runner, undisturbed: Expected) -> None:
    complete(runner, undisturbed)
    assert worlds(runner) == {2}


@slow
def test_two_workers_under_ray_train_what_two_processes_train(runner: Runner, undisturbed: Expected) -> None:
    assert runner.run(*TWO) == 0, runner.output[-3000:]
    complete_by_two(runner, undisturbed)
    assert runner.trained_twice == 0
    steps = runner.steps.total()
    assert runner.run(*TWO) == 0, runner.output[-3000:]
    assert runner.steps.total() == steps, "what was finished was trained again"


def lose_a_worker(runner: Runner, short_of_two: Expected, step: int) -> float:
    """Kills one at a step; checks what is left behind; the seconds to the next step."""
    runner.source = SHORT
    once = runner.folder / "killed"
    process = runner.start(*TWO, LTH_RAY_KILL_AT=f"mid-step:{step}", LTH_RAY_KILL_ONCE=str(once))
    took = seconds_until_next_step(runner, once)
    assert process.wait(timeout=400) == 0, runner.output[-3000:]
    complete_by_two(runner, short_of_two)
    assert runner.trained_twice <= 2 * EVERY  # since the last checkpoint, and while that was being written
    print(f"a killed worker: {took:.1f} s to the next step")
    return took


def test_a_killed_worker_is_replaced_within_the_run(runner: Runner, short_of_two: Expected) -> None:
    lose_a_worker(runner, short_of_two, 130)


@slow
def test_a_killed_worker_is_replaced_in_time(runner: Runner, short_of_two: Expected) -> None:
    """Run alone: on a machine that is busy, starting processes takes many times as long."""
    assert lose_a_worker(runner, short_of_two, 90) < LOST_WORKER_S


@slow
@pytest.mark.parametrize("point", ["mid-write:4", "checkpointed:2", "published:1"])
def test_a_worker_killed_around_a_write_is_replaced(point: str, runner: Runner, undisturbed: Expected) -> None:
    once = runner.folder / "killed"
    kill = {"LTH_RAY_KILL_AT": point, "LTH_RAY_KILL_ONCE": str(once), "LTH_RAY_KILL_AMONG": "ray::"}
    assert runner.run(*TWO, **kill) == 0, runner.output[-3000:]
    assert once.exists(), "nothing was killed"
    complete_by_two(runner, undisturbed)
    assert runner.trained_twice <= 2 * EVERY


@slow
def test_a_killed_driver_is_taken_up_by_a_rerun(runner: Runner, undisturbed: Expected) -> None:
    process = runner.start(*TWO)
    runner.wait_for(lambda: runner.steps.total() > 350, timeout_s=200)
    process.kill()
    process.wait()
    runner.wait_for_orphans()
    assert runner.run(*TWO) == 0, runner.output[-3000:]
    complete_by_two(runner, undisturbed)
    assert runner.trained_twice <= 2 * EVERY


@slow
def test_a_driver_told_to_end_has_a_checkpoint_taken(runner: Runner, undisturbed: Expected) -> None:
    """Without it nothing would be kept of the segment: none is due for an hour."""
    rare = (*TWO, "--checkpoint-every-s", "3600")
    process = runner.start(*rare)
    runner.wait_for(lambda: runner.steps.total() > 30, timeout_s=200)
    process.terminate()
    assert process.wait(timeout=60) == 128 + 15, runner.output[-3000:]
    runner.wait_for_orphans()
    checkpoints = list(Path(runner.storage, "checkpoints").rglob("*.safetensors"))
    assert checkpoints, runner.output[-3000:]
    assert runner.run(*rare) == 0, runner.output[-3000:]
    complete_by_two(runner, undisturbed)


@slow
def test_a_recipe_that_two_cannot_share_is_refused_before_ray_starts(runner: Runner) -> None:
    runner.source = runner.source.replace(", batch_norm_group=15", "")
    assert runner.run(*TWO) == 2
    assert "--workers 2: a batch of 60 images is 1 group of 60" in runner.output


@slow
def test_two_workers_draw_early_and_round_as_two_processes_do_also_when_one_is_killed(
    runner: Runner, tmp_path: Path
) -> None:
    runner.source, once = EARLY, runner.folder / "killed"
    kill = {"LTH_RAY_KILL_AT": "mid-step:60", "LTH_RAY_KILL_ONCE": str(once)}
    assert runner.run(*TWO, **kill) == 0, runner.output[-3000:]
    assert once.exists(), "nothing was killed"
    complete_by_two(runner, expected(declared(EARLY), tmp_path / "without", 2))


@slow
def test_two_workers_train_smaller_networks_as_two_processes_do_also_when_one_is_killed(
    runner: Runner, tmp_path: Path
) -> None:
    """The 60th step of a process is one of a ticket, in the middle of a round."""
    runner.source, once = STRUCTURED, runner.folder / "killed"
    kill = {"LTH_RAY_KILL_AT": "mid-step:60", "LTH_RAY_KILL_ONCE": str(once)}
    assert runner.run(*TWO, **kill) == 0, runner.output[-3000:]
    assert once.exists(), "nothing was killed"
    complete_by_two(runner, expected(declared(STRUCTURED), tmp_path / "without", 2))
    store = Store.open(str(runner.storage))
    rows = ticket_rows(recorded_plan(store, "small"), store)
    assert [row["backend"] for row in rows] == ["eager-fp32", "shrunk-fp32", "shrunk-fp32"]
